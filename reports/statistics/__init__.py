"""Numbers, intervals and verdicts: pure functions, independent of the pages."""
