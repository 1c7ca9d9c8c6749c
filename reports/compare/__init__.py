"""From a table of trials to arms that are compared: `comparison.compare`."""
