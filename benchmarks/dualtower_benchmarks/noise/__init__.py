"""What false interactions in the log cost."""
