"""The k best of a large catalogue: recall against latency, ours beside faiss and usearch."""
