"""What several tests need, and their processes: the command, trials, plans, projects and stand-ins."""
