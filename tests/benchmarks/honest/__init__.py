"""Honest models in the layouts of popular ones: a check of each should pass."""
