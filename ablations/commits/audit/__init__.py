"""The audit of a branch: which of its changes help."""
