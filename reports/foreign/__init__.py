"""Results that were made elsewhere: a table in, verdicts and a page out."""
