"""The trials of a study: which are trained, in which order, where and until when; and what they come to."""
