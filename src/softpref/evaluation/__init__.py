"""Responses and judgements become figures with intervals."""
