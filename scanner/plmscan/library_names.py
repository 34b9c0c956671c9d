"""The libraries' own classes and implementations, by the names that files of a model may use.

The names in ``library_names.json`` are written by ``tools/generate_names.py`` from the libraries
themselves, so that a check of files judges a name without importing what it names.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

__all__ = [
    "is_activation",
    "is_attention",
    "is_base_model",
    "is_experts",
    "is_module",
    "is_word_tokenizer",
]

_FILE = Path(__file__).with_name("library_names.json")


@cache
def _names() -> dict[str, Any]:
    """The whole list."""
    return cast("dict[str, Any]", json.loads(_FILE.read_text(encoding="utf-8")))


@cache
def _listed(kind: str) -> frozenset[str]:
    """All names of one kind."""
    return frozenset(_names()[kind])


def is_module(name: str) -> bool:
    """Whether it is a module of sentence-transformers, under any of its names."""
    return name in _listed("modules")


def is_word_tokenizer(name: str) -> bool:
    """Whether it is a tokenizer that sentence-transformers has for word vectors."""
    return name in _listed("word_tokenizers")


def is_activation(name: str) -> bool:
    """Whether it is an activation function of torch or transformers."""
    return name in _listed("activations")


def is_attention(name: str) -> bool:
    """Whether transformers itself implements attention of that name."""
    return name in _listed("attention")


def is_experts(name: str) -> bool:
    """Whether transformers itself implements mixtures of experts in that way."""
    return name in _listed("experts")


def is_base_model(module: str, name: str) -> bool:
    """Whether ``name`` is a model that transformers has in its ``module``."""
    return name in _names()["base_models"].get(module, ())
