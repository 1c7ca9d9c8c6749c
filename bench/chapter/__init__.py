"""Chapter 12 of the fastai book: its text, models, training, and the checks of its trials."""
