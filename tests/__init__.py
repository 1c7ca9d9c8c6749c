"""The tests, a folder for each part of Unrolled, and `helpers`, what they share."""
