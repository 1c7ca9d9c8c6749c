"""Studies, their arms and designs, and the plan that is stored before the first trial."""
