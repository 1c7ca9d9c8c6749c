"""Changes of a repository, compared one by one: an audit of a branch, a chain of proposals."""
