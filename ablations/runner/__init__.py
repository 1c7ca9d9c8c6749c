"""Trials under way: a fresh process each, here or on a cluster."""
