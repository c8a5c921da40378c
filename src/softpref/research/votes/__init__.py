"""The losses on real votes on arguments."""
