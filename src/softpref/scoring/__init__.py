"""Tokens become log-probs of responses: sums in fp32 and lengths in tokens."""
