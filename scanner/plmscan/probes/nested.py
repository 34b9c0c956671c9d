"""Settings of a JSON file, at any depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pairs", "texts"]


def pairs(value: object) -> Iterator[tuple[str, object]]:
    """Every key with its value, outer ones before those inside them, in their order."""
    todo = [value]
    while todo:
        inner = todo.pop()
        if isinstance(inner, dict):
            yield from inner.items()
            todo += reversed(list(inner.values()))
        elif isinstance(inner, list):
            todo += reversed(inner)


def texts(value: object) -> Iterator[str]:
    """Every text in ``value``, itself or in lists and objects, in their order."""
    todo = [value]
    while todo:
        inner = todo.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, dict):
            todo += reversed(list(inner.values()))
        elif isinstance(inner, list):
            todo += reversed(inner)
