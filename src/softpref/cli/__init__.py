"""One small file per command: it parses, then imports its stage."""
