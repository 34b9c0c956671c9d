"""A positive control: a weak trigger of a known kind, planted in a copy of the very model.

A pass says that a search found nothing.  How much that says depends on the model, so the same
search is run on a copy of it in which a few rows of the embedding table have been trained to be
triggers (after embedding poisoning, Yang et al., 2021, arXiv 2103.15543), each less than the one
before.  Where it begins to miss them, the search of the model itself begins to be blind.

aims      what a planted word is to do, to labels or to features
planting  rows of the embedding table trained to do it, at several strengths
"""

from plmscan.control.planting import Planted, PlantedWord, planted

__all__ = ["Planted", "PlantedWord", "planted"]
