"""The wire format of protocol buffers, read from a file without holding it in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

__all__ = [
    "Bound",
    "Field",
    "PartlyReadError",
    "TooManyPartsError",
    "Wire",
    "content",
    "fields",
    "parts",
    "text",
    "written",
]

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_ENDS, _FIXED32 = range(6)
_WIDTHS = {_FIXED64: 8, _FIXED32: 4, _GROUP: 0, _GROUP_ENDS: 0}
_LONGEST_VARINT = 10
_LONGEST_TEXT = 4096
_TAG_BITS = 2**32 - 1
"""Readers keep as much of a tag and drop what is before it."""
_SHORTEST_LOOK, _LONGEST_LOOK = 64, 2**16
"""Bytes that are read at once: few behind a jump, since large tensors lie between the names."""


class TooManyPartsError(ValueError):
    """There is more to look at than in any model, so it is not looked at to the end."""


class PartlyReadError(ValueError):
    """Some of the file was read, and the rest cannot be."""

    def __init__(self, reason: str, found: Mapping[str, list[str]]) -> None:
        """Why not, and what was found before."""
        super().__init__(reason)
        self.found = found


@dataclass
class Bound:
    """How many parts may still be looked at."""

    most: int
    """How many may be."""
    seen: int = 0
    """How many were."""

    def count(self) -> None:
        """One more.

        Raises:
            TooManyPartsError: that is one too many.
        """
        self.seen += 1
        if self.seen > self.most:
            msg = f"it has more than {self.most} parts, as no known model has"
            raise TooManyPartsError(msg)


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


class Wire:
    """A file of messages, of which as much is held as is likely to be read next."""

    def __init__(self, file: BinaryIO) -> None:
        """Nothing of it was read yet."""
        self.file = file
        self._held = b""
        self._start = 0
        self._last = -1
        self._ahead = _SHORTEST_LOOK

    def varint(self, at: int) -> tuple[int, int]:
        """A number of seven bits a byte, and the place behind it, in at most ten bytes.

        More of them than the number needs are no matter, as they are none to other readers.

        Raises:
            ValueError: the file ends before the number, or it is longer.
        """
        place = at - self._start
        if not 0 <= place <= self._last:
            place = self._look(at)
        held = self._held
        if place < len(held) and (byte := held[place]) < 0x80:  # noqa: PLR2004 - as below
            return byte, at + 1
        value = 0
        for shift, byte in enumerate(held[place : place + _LONGEST_VARINT]):
            value |= (byte & 0x7F) << (7 * shift)
            if byte < 0x80:  # noqa: PLR2004 - the bit that says "more follows"
                return value, at + shift + 1
        msg = "it is cut short"
        raise ValueError(msg)

    def _look(self, at: int) -> int:
        """Hold what begins at ``at``; more and more where one place follows the other."""
        follows = self._start <= at <= self._start + len(self._held)
        self._ahead = min(2 * self._ahead, _LONGEST_LOOK) if follows else _SHORTEST_LOOK
        self.file.seek(at)
        self._held, self._start = self.file.read(self._ahead), at
        self._last = len(self._held) - _LONGEST_VARINT
        return 0


def fields(wire: Wire, start: int, end: int) -> Iterator[Field]:
    """The fields of the message between two places of a file, without those in groups.

    Nothing writes groups any more; readers pass over them.

    Raises:
        ValueError: there is no such message.
    """
    at, depth, varint = start, 0, wire.varint
    while at < end:
        tag, at = varint(at)
        number, kind = (tag & _TAG_BITS) >> 3, tag & 7
        if kind == _BYTES:
            length, at = varint(at)
            stop = at + length
        elif kind == _VARINT:
            stop = varint(at)[1]
        elif kind in _WIDTHS:
            stop = at + _WIDTHS[kind]
            depth += (kind == _GROUP) - (kind == _GROUP_ENDS)
        else:
            msg = f"it has a field of the unknown kind {kind}"
            raise ValueError(msg)
        if not number:
            msg = "it has a field without a number"
            raise ValueError(msg)
        if stop > end or depth < 0:
            msg = "it is cut short"
            raise ValueError(msg)
        if not depth and kind != _GROUP_ENDS:
            yield Field(number, at, stop, kind == _BYTES)
        at = stop


def parts(
    file: BinaryIO, size: int, inner: Mapping[tuple[str, int], str], bound: Bound
) -> Iterator[tuple[str, Field]]:
    """Every field that no other is looked for in, wherever it lies, with what it is.

    The file is read from front to back: what lies in a message comes before what follows it.

    Args:
        file: the file.
        size: its length (bytes).
        inner: message and number of a field -> the message in it, from ``model`` on.
        bound: how many fields may be looked at.

    Raises:
        ValueError: there is no such message, or it has more fields.
    """
    wire = Wire(file)
    messages = {message for message, _ in inner}
    waiting = [("model", fields(wire, 0, size))]
    while waiting:
        message, rest = waiting[-1]
        field = next(rest, None)
        if field is None:
            waiting.pop()
            continue
        bound.count()
        kind = inner.get((message, field.number)) if field.is_message else None
        if kind in messages:
            waiting.append((kind, fields(wire, field.start, field.end)))
        elif kind is not None:
            yield kind, field


def content(file: BinaryIO, field: Field, most: int) -> bytes:
    """What stands in ``field``, as far as it is not longer than ``most`` bytes."""
    file.seek(field.start)
    return file.read(min(field.end - field.start, most))


def text(file: BinaryIO, field: Field) -> str:
    """The string in ``field``, cut off where it is longer than any name."""
    return content(file, field, _LONGEST_TEXT).decode("utf-8", "replace")


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
