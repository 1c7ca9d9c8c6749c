"""Comparisons of a plan's arms, from its results: for pages, for MLflow and for the plans that follow."""
