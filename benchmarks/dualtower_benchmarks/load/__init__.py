"""The generator: when requests are due, how they are sent, what was seen."""
