"""Training a study: which trials, in which order, where and until when; and the comparison of its arms."""
