"""What may leave this host, and what does."""
