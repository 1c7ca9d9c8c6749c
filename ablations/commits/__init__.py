"""Commits of a repository, compared: the gate of a change, the audit of a branch, a chain of proposals."""
