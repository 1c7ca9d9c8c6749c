"""Commits in words: what a gate, an audit and a chain of proposals come to."""
