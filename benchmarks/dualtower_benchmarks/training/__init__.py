"""Training steps a second, beside sentence-transformers."""
