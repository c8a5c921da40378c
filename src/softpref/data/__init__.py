"""Rows become validated, oriented pairs; pairs become tokens. Boundary, terminator and truncation are decided here only."""
