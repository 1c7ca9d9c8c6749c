"""MLflow: the runs that show a study, the thread that writes them, and the pages."""
