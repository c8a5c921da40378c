"""The paper's experiments, one command each. Nothing in the product imports this room."""
