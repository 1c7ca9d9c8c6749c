"""Before the first trial: studies, their arms and designs, and the plan that says what will be decided."""
