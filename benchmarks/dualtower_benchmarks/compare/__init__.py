"""Two results files side by side: what became better, what worse, and what is noise."""
