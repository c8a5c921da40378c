"""The parts of a report, one module each: what was found goes in, a section of tables and figures comes out."""
