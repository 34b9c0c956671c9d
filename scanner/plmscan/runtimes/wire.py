"""The wire format of protocol buffers, read from a file without holding it in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["Field", "fields", "text"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
_LONGEST_TEXT = 4096


class Field(NamedTuple):
    """One field of a message; its content is not read yet."""

    number: int
    """Its number in the message."""
    start: int
    """Where its content begins in the file (bytes)."""
    end: int
    """Where it ends."""
    is_message: bool
    """Whether it has a length, as strings, bytes and messages have."""


def fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """The fields of the message between two places of ``file``.

    Raises:
        ValueError: there is no such message.
    """
    at = start
    while at < end:
        tag, at = _varint(file, at)
        kind = tag & 7
        if kind == _VARINT:
            _, stop = _varint(file, at)
        elif kind == _BYTES:
            length, at = _varint(file, at)
            stop = at + length
        elif kind in _WIDTHS:
            stop = at + _WIDTHS[kind]
        else:
            msg = f"it has a field of the unknown kind {kind}"
            raise ValueError(msg)
        if stop > end:
            msg = "it is cut short"
            raise ValueError(msg)
        yield Field(tag >> 3, at, stop, kind == _BYTES)
        at = stop


def text(file: BinaryIO, field: Field) -> str:
    """The string in ``field``, cut off where it is longer than any name."""
    file.seek(field.start)
    return file.read(min(field.end - field.start, _LONGEST_TEXT)).decode("utf-8", "replace")


def _varint(file: BinaryIO, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    file.seek(at)
    value = 0
    for shift, byte in enumerate(file.read(_LONGEST_VARINT)):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says "more follows"
            return value, at + shift + 1
    msg = "it is cut short"
    raise ValueError(msg)
