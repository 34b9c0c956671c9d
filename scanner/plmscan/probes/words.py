"""Lists of names, cut to what a sentence can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["some"]

_SHOWN = 3


def some(names: Iterable[str]) -> str:
    """The first three of ``names``, each once, and how many more there are."""
    unique = list(dict.fromkeys(names))
    shown = ", ".join(unique[:_SHOWN])
    more = len(unique) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
