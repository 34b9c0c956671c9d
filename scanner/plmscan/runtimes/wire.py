"""The wire format of protocol buffers, read from a file without holding it in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["Field", "TooManyPartsError", "fields", "text", "written"]

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_ENDS, _FIXED32 = range(6)
_WIDTHS = {_FIXED64: 8, _FIXED32: 4, _GROUP: 0, _GROUP_ENDS: 0}
_LONGEST_VARINT = 10
_LONGEST_TEXT = 4096


class TooManyPartsError(ValueError):
    """There is more to look at than in any model, so it is not looked at to the end."""


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
    """The fields of the message between two places of ``file``, without those in groups.

    Nothing writes groups any more; readers pass over them.

    Raises:
        ValueError: there is no such message.
    """
    at, depth = start, 0
    while at < end:
        tag, at = _varint(file, at)
        if not tag >> 3:
            msg = "it has a field without a number"
            raise ValueError(msg)
        at, stop = _extent(file, at, tag & 7)
        depth += {_GROUP: 1, _GROUP_ENDS: -1}.get(tag & 7, 0)
        if stop > end or depth < 0:
            msg = "it is cut short"
            raise ValueError(msg)
        if not depth and tag & 7 != _GROUP_ENDS:
            yield Field(tag >> 3, at, stop, tag & 7 == _BYTES)
        at = stop


def _extent(file: BinaryIO, at: int, kind: int) -> tuple[int, int]:
    """Where the content of a field begins and ends, whose tag ends at ``at``.

    Raises:
        ValueError: there is no such kind.
    """
    if kind == _VARINT:
        return at, _varint(file, at)[1]
    if kind == _BYTES:
        length, at = _varint(file, at)
        return at, at + length
    if kind in _WIDTHS:
        return at, at + _WIDTHS[kind]
    msg = f"it has a field of the unknown kind {kind}"
    raise ValueError(msg)


def text(file: BinaryIO, field: Field) -> str:
    """The string in ``field``, cut off where it is longer than any name."""
    file.seek(field.start)
    return file.read(min(field.end - field.start, _LONGEST_TEXT)).decode("utf-8", "replace")


def written(number: int, content: bytes) -> bytes:
    """A field with a length, as it stands in a message."""
    return _varint_of(number << 3 | _BYTES) + _varint_of(len(content)) + content


def _varint_of(value: int) -> bytes:
    """``value`` in seven bits a byte."""
    found = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - what seven bits hold
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


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
