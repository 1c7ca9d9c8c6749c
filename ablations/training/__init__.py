"""Training a study: which trials, in which order, where and until when."""
