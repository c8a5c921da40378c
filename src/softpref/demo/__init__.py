"""The demo: a small synthetic world, its judge, a small model, and the full pipeline on them."""
