"""One trial, whatever trains it, and the result it yields."""
