"""One change, or several, to the bytes of a file; the same seed gives the same file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

__all__ = ["mutated"]

_ODD = (
    b"", b"\0", b"\xff" * 8, b"{", b"}", b"[" * 2000, b"]", b'"', b"\\", b"\n", b"null", b"1e999",
    b"9" * 5000, b"-1", b"NaN", b"{%", b"{{", b"%}", b"}}", b"\x80\x04", b"PK\x03\x04",
    b"\xed\xa0\x80",
    b"../", b"/", b"(" * 500, b"(a+)+$", b"\x7f" + b"\xff" * 7, b"__class__", b"R", b".",
)  # fmt: skip
"""What readers trip over."""


def mutated(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """``data`` after one to six changes; some take parts of ``others``."""
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        data = dice.choice(_CHANGES)(data, others, dice)
    return data


def _flip(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    """One byte becomes another."""
    at = dice.randrange(len(data) + 1)
    return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]


def _cut(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    """A part is lost."""
    first, last = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[last:]


def _end(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    """The rest is lost."""
    return data[: dice.randrange(len(data) + 1)]


def _repeat(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    """A part stands there many times."""
    first, last = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    return data[:last] + data[first:last] * dice.choice((1, 2, 50)) + data[last:]


def _insert(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    """Something odd is put in."""
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(_ODD) + data[at:]


def _number(data: bytes, _others: Sequence[bytes], dice: random.Random) -> bytes:
    """Eight bytes become a length that lies."""
    at = dice.randrange(len(data) + 1)
    value = dice.choice((0, 1, 2**31 - 1, 2**32, 2**63 - 1, 2**64 - 1, len(data)))
    return data[:at] + value.to_bytes(8, "little") + data[at + 8 :]


def _splice(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """The end is that of another format."""
    other = dice.choice(others)
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other) + 1) :]


def _replace(_data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """All of it is another format."""
    return dice.choice(others)


_CHANGES: tuple[Callable[[bytes, Sequence[bytes], random.Random], bytes], ...] = (
    _flip, _flip, _cut, _end, _repeat, _insert, _insert, _number, _splice, _replace,
)  # fmt: skip
