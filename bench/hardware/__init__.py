"""The machine: its facts, its kind, and its devices."""
