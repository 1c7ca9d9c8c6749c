"""Studies: their files, arms and designs, and the factories of their trials."""
