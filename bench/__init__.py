"""One trial: a model trained on a corpus, and the result it yields."""
