"""What the machine that follows pickles keeps in mind, and what it finds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from plmscan.pickles.names import Use

if TYPE_CHECKING:
    from plmscan.pickles.names import Global

__all__ = [
    "DATA",
    "NESTED_TEXTS",
    "Blob",
    "Data",
    "Found",
    "Made",
    "Table",
    "is_shape",
    "item_size",
    "looks_nested",
]

_MOST_NAMES = 5_000
_LONGEST_CODE = 10
_ITEM_SIZE, _FLAGS = 5, 7
"""Places in the state of a numpy data type."""
_TEXT_PICKLE = re.compile(rb"\(?c[A-Za-z_][\w.]*\r?\n[A-Za-z_][\w.]*\r?\n")
_PICKLE_STARTS = tuple(bytes((0x80, version)) for version in range(6))
_NESTED_STARTS = (*_PICKLE_STARTS, b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"x\x9c")
NESTED_TEXTS = tuple(start.decode("latin-1") for start in _NESTED_STARTS)
"""How what `looks_nested` accepts begins, where bytes are written as text."""


class Data:
    """A value of which nothing has to be known."""

    __slots__ = ()


DATA = Data()
"""Any of them."""


@dataclass(slots=True)
class Blob:
    """Bytes that are a pickle or an archive themselves."""

    is_clean: bool
    """Whether they were read to their end, and nothing in them is worth a report."""


@dataclass(slots=True)
class Table:
    """A dictionary, as far as its keys are short texts."""

    items: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Made:
    """What a call, or a class without its constructor, made."""

    by: Global | None
    """The function or class; None if it is not known."""
    arguments: tuple[Any, ...] = ()
    """What it was given, where that is known."""
    state: Any = None
    """What was set on it."""


class Found:
    """What the pickles of one file import and do."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.uses: dict[Global, Use] = {}
        self.acts: dict[str, None] = {}
        self.has_calls = False
        self.is_complete = True

    def use(self, item: Global, use: Use) -> None:
        """A name is used."""
        if len(self.uses) >= _MOST_NAMES and item not in self.uses:
            self.is_complete = False
            return
        self.uses[item] = max(use, self.uses.get(item, Use.MENTION))
        self.has_calls = self.has_calls or use is not Use.MENTION

    def act(self, words: str) -> None:
        """Something is done that no honest pickle does."""
        self.has_calls = True
        if len(self.acts) < _MOST_NAMES:
            self.acts[words] = None

    def add(self, other: Found) -> None:
        """All that another one found."""
        for item, use in other.uses.items():
            self.use(item, use)
        self.acts.update(other.acts)
        self.is_complete = self.is_complete and other.is_complete


def is_shape(shape: tuple[Any, ...]) -> bool:
    """Whether it holds nothing but lengths."""
    return all(type(n) is int and 0 <= n < 2**48 for n in shape)


def item_size(described: Any) -> tuple[int | None, bool]:  # noqa: ANN401
    """Bytes an item of an array has, None if unknown, and whether it holds objects."""
    match described:
        case Made(arguments=(str() as name, *_)) if len(name) <= _LONGEST_CODE:
            code, digits = name[:1], name[1:]
        case _:
            return None, False
    state = described.state if isinstance(described.state, tuple) else ()
    flags = state[_FLAGS] if len(state) > _FLAGS else 0
    if code == "O" or (isinstance(flags, int) and flags & 1):
        return None, True
    stored = state[_ITEM_SIZE] if len(state) > _ITEM_SIZE else -1
    # numpy goes by the state where sizes differ from item to item.
    if code in "SUV" and type(stored) is int and stored >= 0:
        return stored, False
    if not (digits.isascii() and digits.isdecimal()):
        return None, False
    return int(digits) * (4 if code == "U" else 1), False


def looks_nested(start: bytes) -> bool:
    """Whether bytes may be a pickle or an archive."""
    return start.startswith(_NESTED_STARTS) or (
        start[:1] in {b"c", b"("} and _TEXT_PICKLE.match(start) is not None
    )
