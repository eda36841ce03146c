"""What a server costs over the same SavedModel in process."""
