"""Picks a server's `batching.config` and thread flags for an SLO, by its highest rate."""
