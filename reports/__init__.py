"""Results to numbers, to pictures, to one self-contained page."""
