"""From a plan and its results to the comparison of its arms, to its page and to its arms in MLflow."""
