"""Lists and numbers of things, as a sentence holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["counted", "some"]

_SHOWN = 3
_LONGEST = 300
"""Characters of one name: a file can hold one of a hundred million."""


def some(names: Iterable[str]) -> str:
    """The first three of ``names``, each once, and how many more there are."""
    unique = list(dict.fromkeys(name[:_LONGEST] for name in names))
    shown = ", ".join(unique[:_SHOWN])
    more = len(unique) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def counted(number: int, noun: str) -> str:
    """``number`` and ``noun``, in the plural where it is due."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
