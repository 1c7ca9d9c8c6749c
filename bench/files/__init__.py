"""Files that are written whole, read safely, and JSON with the same bytes each time."""
