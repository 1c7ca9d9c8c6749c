"""The folder that comes first on the path of every Python that a commit's program starts."""
