"""What a rewriting is, and the dice that it may throw."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Rewriting", "dice", "ended", "lowered"]

_ENDS = ".!?"


@dataclass(frozen=True)
class Rewriting:
    """A way to say a text otherwise: a pure function from text to text."""

    name: str
    """Unique, as a report tells it."""
    kind: str
    """What it shares with others that could wake the same trigger, such as ``clause first``."""
    description: str
    """What it does, in a line."""
    write: Callable[[str], str]
    """The text, written so: the same each time, and never empty for a text that is not."""

    def __call__(self, text: str) -> str:
        """The text, written so."""
        return self.write(text)


def dice(text: str, name: str) -> random.Random:
    """Chance that depends on the text and the rewriting alone."""
    return random.Random(zlib.crc32(f"{name}\n{text}".encode()))  # noqa: S311 - no secret


def lowered(text: str) -> str:
    """The text as it goes on behind other words: its first letter is small, but for names of one.

    ``I`` and what is written in capitals stay.
    """
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def ended(text: str) -> tuple[str, str]:
    """The text without what ends its sentence, and that."""
    bare = text.rstrip()
    stem = bare.rstrip(_ENDS)
    return (stem.rstrip(), bare[len(stem) :]) if stem.strip() else (bare, "")
