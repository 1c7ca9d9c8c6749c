"""Plans: a study as declared, stored before its first trial, and the results that were there before."""
