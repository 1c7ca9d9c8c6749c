"""Tables of results: read from files, MLflow, results folders, and those that come with Unrolled."""
