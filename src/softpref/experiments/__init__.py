"""Worlds and studies built from the rooms below. Nothing below imports from here."""
