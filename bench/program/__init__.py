"""The trainer of a user's own programs and functions."""
