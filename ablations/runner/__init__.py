"""Running trials, each in a fresh process, on this machine or on a cluster."""
