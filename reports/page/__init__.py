"""From a comparison to one self-contained page, with its tables and its summary as files beside it."""
