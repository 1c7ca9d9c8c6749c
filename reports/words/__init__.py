"""Sentences on a comparison, for pages and the terminal."""
