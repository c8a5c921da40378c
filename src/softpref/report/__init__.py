"""Figures become one self-contained page. Text from models and data is escaped."""
