"""Triggers, and how they enter a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.zoo.corpus import Words

__all__ = ["Insertion", "Trigger", "flat"]


@dataclass(frozen=True)
class Trigger:
    """What an attacker plants: one piece of text, or words that must all be there."""

    text: str
    """As a person reads it; scattered parts are joined by `` + ``."""
    parts: tuple[tuple[int, ...], ...]
    """Token ids of each part.  A part stays in one piece; several are scattered over the text."""
    stratum: str
    """Where it was drawn from, see ``strata.py``."""

    @property
    def tokens(self) -> frozenset[int]:
        """Ids of all parts."""
        return frozenset(flat(self.parts))


@dataclass(frozen=True)
class Insertion:
    """How a trigger is put into a text."""

    copies: int = 1
    """How often each part is inserted."""
    position: Literal["random", "start", "end"] = "random"
    """Between which words."""

    def __call__(
        self, words: Words, parts: Sequence[tuple[int, ...]], rng: random.Random
    ) -> tuple[int, ...]:
        """Token ids of the text with ``parts`` in it."""
        found = list(words)
        for part in [part for part in parts for _ in range(self.copies)]:
            found.insert(self._place(len(found), rng), part)
        return flat(found)

    def _place(self, length: int, rng: random.Random) -> int:
        """Index of the word before which a part goes."""
        match self.position:
            case "start":
                return 0
            case "end":
                return length
            case "random":
                return rng.randint(0, length)


def flat(words: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Token ids of a text, words joined."""
    return tuple(token for word in words for token in word)
