"""The formats in which programs write numbers, one in a file."""
