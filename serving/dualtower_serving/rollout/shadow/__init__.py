"""Two versions of a pair answer the same requests: how they differ, and what is let through."""
