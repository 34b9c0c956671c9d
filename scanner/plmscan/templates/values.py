"""What an expression of a template can be, as far as it can be told without rendering."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["NAMESPACE", "NOTHING", "Value", "combinations", "either", "mixed", "sequence"]

_MOST = 16
"""Values that an expression may be known to have; beyond, it is just unknown."""
_LONGEST = 4096
_LARGEST = 10**15
NAMESPACE = "namespace"
"""The `Value.leaf` of a namespace."""
KEYED = "mapping by text"
"""The `Value.leaf` of a mapping whose keys somebody wrote: to look one up asks for it."""


@dataclass(frozen=True)
class Value:
    """One expression's possible results, and what they depend on."""

    known: tuple[object, ...] | None = None
    """All that it can be; None where that cannot be told."""
    text: bool = False
    """Whether it is, holds, or is made of, what somebody wrote."""
    size: bool = False
    """Whether it is a number that such a text decides, as its length does."""
    date: bool = False
    """Whether the clock decides it."""
    leaf: str = ""
    """The name or key under which an input is found; for namespaces and macros, what they are."""

    @property
    def strings(self) -> tuple[str, ...]:
        """The fixed strings that it can be, or hold."""
        return tuple(text for value in self.known or () for text in _strings(value))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The fixed numbers that it can be, or hold."""
        return tuple(n for value in self.known or () for n in _numbers(value))

    def computed(self) -> Value:
        """Something made of it, of which nothing is known but what it depends on."""
        return Value(None, self.text, self.size, self.date)


NOTHING = Value(("",))
"""What is printed by nothing."""


def of(*known: object) -> Value:
    """A value that is one of ``known``, as long as they are few and short."""
    if len(known) > _MOST:
        known = tuple({repr(value): value for value in known}.values())
    if len(known) > _MOST or any(
        isinstance(v, (str, list, tuple, dict)) and len(v) > _LONGEST for v in known
    ):
        return Value()
    return Value(known)


def either(*values: Value) -> Value:
    """What is one of ``values``."""
    if len(values) == 1:
        return values[0]
    known: Value = Value()
    if all(value.known is not None for value in values):
        unique = {repr(k): k for value in values for k in value.known or ()}
        known = of(*unique.values())
    leaves = [value.leaf for value in values if value.leaf]
    same = leaves[0] if leaves and (len(set(leaves)) == 1 or NAMESPACE not in leaves) else ""
    return replace(
        mixed(*values), known=known.known, leaf=NAMESPACE if NAMESPACE in leaves else same
    )


def mixed(*values: Value) -> Value:
    """What depends on all of ``values``, and is otherwise unknown."""
    return Value(
        None,
        any(value.text for value in values),
        any(value.size for value in values),
        any(value.date for value in values),
    )


def combinations(values: Sequence[Value]) -> Iterator[tuple[object, ...]] | None:
    """Every choice of one known result a value; None where one is unknown or they are many."""
    number = 1
    for value in values:
        if value.known is None:
            return None
        number *= len(value.known)
    return product(*(value.known or () for value in values)) if number <= _MOST else None


def sequence(values: Sequence[Value]) -> Value:
    """What is printed one after the other."""
    choices = combinations(values)
    if choices is None:
        return mixed(*values)
    texts = ("".join(map(str, choice)) for choice in choices)
    return replace(mixed(*values), known=of(*texts).known)


def _strings(value: object) -> Iterator[str]:
    """The strings in a constant, keys and values of dictionaries alike."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("latin-1")
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _strings(pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _strings(item)


def _numbers(value: object) -> Iterator[int]:
    """The whole numbers in a constant."""
    if isinstance(value, bool):
        return
    if isinstance(value, (int, float)):
        yield from [int(value)] if abs(value) < _LARGEST else []
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _numbers(pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _numbers(item)
