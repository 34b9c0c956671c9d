"""GGUF models: the chat templates and the vocabulary in their metadata."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from plmscan.kinds import is_placeholder
from plmscan.runtimes.wire import TooManyPartsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

__all__ = ["PlaceholderError", "Words", "entry_names", "templates", "vocabulary", "without_numbers"]

_MAGIC = b"GGUF"
_VERSION = 3
_TEMPLATES = "tokenizer.chat_template"
_TOKENS = "tokenizer.ggml.tokens"
_ROLES = "tokenizer.ggml.token_type"
_CHARSMAP = "tokenizer.ggml.precompiled_charsmap"
_CUT_OUT = frozenset({3, 4})
"""Roles of tokens that are cut out of a text before anything else: control, and user-defined."""
_WIDTHS: Mapping[int, int] = MappingProxyType(
    {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
)
"""Bytes of a number by the type that its entry declares."""
_STRING, _ARRAY = 8, 9
_DEEPEST = 4
"""Arrays in arrays; no writer nests any."""
_MOST_VALUES = 4_000_000
"""Entries, and texts in lists: the largest vocabularies and their merges are a third of that."""
_CUT = "its metadata is cut short"
_START = 4096


class PlaceholderError(ValueError):
    """The file holds no metadata at all, as those that stand for a model."""


@dataclass(frozen=True)
class Words:
    """The vocabulary of a model."""

    tokens: tuple[str, ...]
    """Its tokens as the file writes them; the place is the id."""
    cut_out: tuple[int, ...]
    """Ids of those that are cut out of a text before anything else."""
    charsmap: bytes
    """How letters are replaced before; empty without such a map."""


def entry_names(file: BinaryIO, size: int) -> Iterator[str]:
    """Names of all entries, each as often as it is there.

    Raises:
        ValueError: the metadata is broken, or larger than any model's.
    """
    for name, kind, reader in _entries(file, size):
        reader.skip(kind, _DEEPEST)
        yield name


def vocabulary(file: BinaryIO, size: int) -> Words:
    """The tokens that the metadata holds, and how they are treated.

    Raises:
        ValueError: the metadata is broken, or larger than any model's.
    """
    tokens: tuple[str, ...] = ()
    roles, charsmap = b"", b""
    for name, kind, reader in _entries(file, size):
        if name == _TOKENS:
            tokens = tuple(reader.texts(kind))
        elif name == _ROLES:
            roles = reader.lowest_bytes(kind)
        elif name == _CHARSMAP:
            charsmap = reader.lowest_bytes(kind)
        else:
            reader.skip(kind, _DEEPEST)
    return Words(tokens, tuple(i for i, role in enumerate(roles) if role in _CUT_OUT), charsmap)


def templates(file: BinaryIO, size: int) -> Iterator[tuple[str, str]]:
    """Name and text of every chat template that the metadata holds.

    Raises:
        ValueError: the metadata is broken, or larger than any model's.
    """
    for name, kind, reader in _entries(file, size):
        if name.startswith(_TEMPLATES):
            yield from ((name, text) for text in reader.texts(kind))
        else:
            reader.skip(kind, _DEEPEST)


def _entries(file: BinaryIO, size: int) -> Iterator[tuple[str, int, _Reader]]:
    """Name, type and reader of every entry, whose value has to be read or passed over at once."""
    if is_placeholder(file.read(_START), size):
        raise PlaceholderError(_CUT)
    file.seek(0)
    reader = _Reader(file, size, _order(file.read(8)), _MOST_VALUES)
    file.seek(16)
    for _ in reader.counted(reader.number(8)):
        yield reader.text(), reader.number(4), reader


def without_numbers(file: BinaryIO, size: int) -> bytes:
    """A model with the same chat templates, and nothing else.

    Raises:
        ValueError: the metadata is broken.
    """
    found = [_entry(name, text) for name, text in templates(file, size)]
    return _MAGIC + struct.pack("<IQQ", _VERSION, 0, len(found)) + b"".join(found)


def _entry(name: str, text: str) -> bytes:
    """An entry of the metadata that holds a string."""
    key, value = name.encode(), text.encode()
    start = struct.pack("<Q", len(key)) + key + struct.pack("<I", _STRING)
    return start + struct.pack("<Q", len(value)) + value


def _order(start: bytes) -> str:
    """The byte order, by the version, which is small."""
    if start[:4] != _MAGIC or len(start) < 8:  # noqa: PLR2004 - the magic and the version
        msg = "it does not begin as GGUF does"
        raise ValueError(msg)
    (version,) = struct.unpack("<I", start[4:])
    return "<" if version < 2**16 else ">"


@dataclass
class _Reader:
    """A file, read one value after another."""

    file: BinaryIO
    """The file."""
    size: int
    """Its length (bytes)."""
    order: str
    """``<`` or ``>``, as the struct module has it."""
    left: int
    """Values that may still come."""

    def counted(self, count: int) -> range:
        """``count`` turns, one for each of as many values.

        Raises:
            ValueError: with those before, they are more than any model has.
        """
        self.left -= self._room(count)
        if self.left < 0:
            msg = f"its metadata has more than {_MOST_VALUES} values, as no known model's has"
            raise TooManyPartsError(msg)
        return range(count)

    def number(self, width: int) -> int:
        """An unsigned number of ``width`` bytes, 4 or 8."""
        data = self.file.read(width)
        if len(data) < width:
            raise ValueError(_CUT)
        value: int = struct.unpack(self.order + ("I" if width == 4 else "Q"), data)[0]  # noqa: PLR2004 - bytes
        return value

    def text(self) -> str:
        """A string with its length before it."""
        length = self._room(self.number(8))
        return self.file.read(length).decode("utf-8", "replace")

    def texts(self, kind: int) -> Iterator[str]:
        """The strings of a value: itself, or those of a list, as loaders take a list of one."""
        if kind == _STRING:
            yield self.text()
            return
        if kind != _ARRAY:
            self.skip(kind, _DEEPEST)
            return
        inner, count = self.number(4), self.number(8)
        for _ in self.counted(self._room(count)):
            if inner == _STRING:
                yield self.text()
            else:
                self.skip(inner, _DEEPEST - 1)

    def lowest_bytes(self, kind: int) -> bytes:
        """The lowest byte of each number of a list; none of any other value."""
        if kind != _ARRAY:
            self.skip(kind, _DEEPEST)
            return b""
        inner, count = self.number(4), self.number(8)
        width = _WIDTHS.get(inner, 0)
        if not width:
            for _ in self.counted(self._room(count)):
                self.skip(inner, _DEEPEST - 1)
        data = self.file.read(self._room(count * width))
        return data[:: width or 1] if self.order == "<" else data[max(width - 1, 0) :: width or 1]

    def skip(self, kind: int, depth: int) -> None:
        """Pass over a value of the type ``kind``."""
        if kind in _WIDTHS:
            self.file.seek(self._room(_WIDTHS[kind]), 1)
        elif kind == _STRING:
            self.file.seek(self._room(self.number(8)), 1)
        elif kind == _ARRAY and depth:
            inner, count = self.number(4), self.number(8)
            if inner in _WIDTHS:
                self.file.seek(self._room(count * _WIDTHS[inner]), 1)
            else:
                for _ in self.counted(count):
                    self.skip(inner, depth - 1)
        else:
            msg = f"its metadata has a value of the unknown type {kind}"
            raise ValueError(msg)

    def _room(self, length: int) -> int:
        """``length``, if as many bytes follow."""
        if length > self.size - self.file.tell():
            raise ValueError(_CUT)
        return length
