"""The highest rate that holds an SLO: the search, its probes, and the tuning of a server by it."""
