"""What is asked of commits: which of a history help."""
