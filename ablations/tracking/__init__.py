"""MLflow: what it shows, when it is written, where it is kept, and its server."""
