"""The page of `make bench`."""
