"""Vocabularies as data: which tokens a model's tokenizer files name, and how they rewrite text.

No tokenizer is built here, so that a file is read as it is written, with its repetitions and
contradictions.  The library of tokenizers is asked only what a regular expression matches.
"""

from __future__ import annotations

from plmscan.vocabularies.files import (
    CONVERT,
    VOCABULARY_FILES,
    Component,
    TokenizerData,
    find_vocabulary,
    foreign_vocabulary,
    read_tokens,
    spelling,
)
from plmscan.vocabularies.rewrites import KNOWN_STEPS, Rewrite, rewrites

__all__ = [
    "CONVERT",
    "KNOWN_STEPS",
    "VOCABULARY_FILES",
    "Component",
    "Rewrite",
    "TokenizerData",
    "find_vocabulary",
    "foreign_vocabulary",
    "read_tokens",
    "rewrites",
    "spelling",
]
