"""The flags and metrics of a Python script, read from its source to draft a first study."""
