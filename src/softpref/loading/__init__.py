"""The one way to load models, tokenizers and adapters: what the libraries refuse, and what they only log, is our error."""
