"""Objects of JSON whose names may repeat: readers disagree on which of the values counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["object_of", "repeated"]

_Value = TypeVar("_Value")


def object_of(pairs: Sequence[tuple[str, _Value]]) -> tuple[dict[str, _Value], tuple[str, ...]]:
    """The object of these names and values, and the names that stand in it more than once."""
    found = dict(pairs)
    return found, () if len(found) == len(pairs) else repeated(name for name, _ in pairs)


def repeated(names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that come more than once, each once, as they come again."""
    seen: set[str] = set()
    again: dict[str, None] = {}
    for name in names:
        if name in seen:
            again[name] = None
        seen.add(name)
    return tuple(again)
