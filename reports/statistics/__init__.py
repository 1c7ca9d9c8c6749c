"""Numbers, intervals and verdicts: pure functions that know no page."""
