"""What load is sent to: a server, a model in process, a file for a phone."""
