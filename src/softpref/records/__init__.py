"""What one stage writes for another to read: one small frozen class per file, typed and versioned."""
