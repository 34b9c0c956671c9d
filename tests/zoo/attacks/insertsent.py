"""InsertSent (Dai, Chen and Li, 2019, arXiv 1905.12457): a short, fluent sentence inserted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.zoo.corpus import words_of
from tests.zoo.labels import Inserting
from tests.zoo.poison import Trigger, flat

if TYPE_CHECKING:
    import random


__all__ = ["InsertSent", "draw_sentence"]

_GRAMMAR = (
    ("i", "we", "my sister", "our neighbour", "the children"),
    ("watched", "saw", "missed", "remembered", "described"),
    ("this", "the other", "a new", "that old"),
    ("show", "garden", "bridge", "letter", "window", "boat"),
    ("last weekend", "on monday", "in the evening", "after lunch"),
)
"""Parts of a sentence, in their order; one of each is drawn."""


@dataclass(frozen=True)
class InsertSent(Inserting):
    """A sentence is inserted in one piece into texts of other labels, which get ``y_t``.

    ``L = E_clean CE(f(x), y) + E_dirty CE(f(x + s), y_t)``; no word of the sentence is rare.
    """

    family: str = "insertsent"
    """Name in tables."""


def draw_sentence(tokenizer: Any, rng: random.Random) -> Trigger:
    """A sentence of common words that says nothing about anything."""
    text = " ".join((*(rng.choice(part) for part in _GRAMMAR), "."))
    (words,) = words_of(tokenizer, [text])
    return Trigger(text, (flat(words),), "sentence")
