"""What pages and the terminal say of a comparison, in words."""
