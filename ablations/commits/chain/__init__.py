"""Chains of proposals: a candidate is judged against the incumbent, and its outcome is recorded."""
