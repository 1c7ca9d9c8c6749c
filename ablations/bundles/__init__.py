"""Bundles: a study with everything that a reviewer needs in one file, and its checks."""
