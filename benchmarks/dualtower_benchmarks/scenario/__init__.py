"""Sweeps out of TOML files: which points, in which order, measured and kept one by one."""
