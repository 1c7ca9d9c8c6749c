"""The witnesses of settings: for each, an observation of the trial that shows whether it took effect."""
