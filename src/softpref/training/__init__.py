"""Batches in, scoring, loss, metrics out, on transformers.Trainer."""
