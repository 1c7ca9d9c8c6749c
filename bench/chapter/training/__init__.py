"""Engines that train a model, behind one signature."""
