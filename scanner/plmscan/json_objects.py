"""Objects of JSON: all that lie in a value, and those whose names repeat.

Of a repeated name readers disagree on which of the values counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["object_of", "objects_in", "repeated"]

_Value = TypeVar("_Value")


def object_of(pairs: Sequence[tuple[str, _Value]]) -> tuple[dict[str, _Value], tuple[str, ...]]:
    """The object of these names and values, and the names that stand in it more than once."""
    found = dict(pairs)
    return found, () if len(found) == len(pairs) else repeated(name for name, _ in pairs)


def objects_in(value: object) -> Iterator[dict[str, object]]:
    """Every object in ``value``, itself and at any depth, each before those inside it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def repeated(names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that come more than once, each once, as they come again."""
    seen: set[str] = set()
    again: dict[str, None] = {}
    for name in names:
        if name in seen:
            again[name] = None
        seen.add(name)
    return tuple(again)
