"""Drafting a study for a script from the script's source, which is read and not run: `unrolled new`."""
