"""ONNX models: which other files they read."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from plmscan.runtimes.wire import TooManyPartsError, fields, text, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from plmscan.runtimes.wire import Field

__all__ = ["external_files", "without_numbers"]

_INNER: Mapping[tuple[str, int], str] = MappingProxyType(
    {
        ("model", 7): "graph",
        ("model", 20): "training",
        ("model", 25): "function",
        ("training", 1): "graph",
        ("training", 2): "graph",
        ("function", 7): "node",
        ("graph", 1): "node",
        ("graph", 5): "tensor",
        ("graph", 15): "sparse",
        ("node", 5): "attribute",
        ("attribute", 5): "tensor",
        ("attribute", 6): "graph",
        ("attribute", 10): "tensor",
        ("attribute", 11): "graph",
        ("attribute", 22): "sparse",
        ("attribute", 23): "sparse",
        ("sparse", 1): "tensor",
        ("sparse", 2): "tensor",
        ("tensor", 13): "entry",
    }
)
"""Message and field number -> the message in it, as far as tensors lie below it (onnx.proto)."""
_MOST_FIELDS = 2_000_000
"""A graph of ten thousand nodes with their attributes has a tenth of that; each takes a moment."""
_KEY, _VALUE = 1, 2  # fields of StringStringEntryProto
_DOWN_TO_ENTRY = (13, 5, 7)
"""Fields that an entry lies in, from the inside: of a tensor, of a graph, of the model."""


def external_files(file: BinaryIO, size: int) -> list[str]:
    """Paths of the files in which the tensors of a model lie, sorted, as they are written.

    Raises:
        ValueError: the file is no ONNX model, or has more parts than any.
    """
    found: set[str] = set()
    left = _MOST_FIELDS
    waiting = [("model", 0, size)]
    while waiting:
        message, start, end = waiting.pop()
        for field in fields(file, start, end):
            left -= 1
            if left < 0:
                msg = f"it has more than {_MOST_FIELDS} parts, as no known model has"
                raise TooManyPartsError(msg)
            inner = _INNER.get((message, field.number)) if field.is_message else None
            if inner == "entry":
                found.update(_locations(file, field))
            elif inner is not None and field.start < field.end:
                waiting.append((inner, field.start, field.end))
    return sorted(found)


def without_numbers(file: BinaryIO, size: int) -> bytes:
    """A model that reads the same files, and holds nothing else.

    Raises:
        ValueError: the file is no ONNX model.
    """
    return b"".join(map(_reading, external_files(file, size)))


def _reading(path: str) -> bytes:
    """The part of a model that reads the file ``path``."""
    found = written(_KEY, b"location") + written(_VALUE, path.encode())
    for number in _DOWN_TO_ENTRY:
        found = written(number, found)
    return found


def _locations(file: BinaryIO, entry: Field) -> Iterator[str]:
    """The path in an entry of ``external_data``, where the entry is one."""
    inner = {f.number: text(file, f) for f in fields(file, entry.start, entry.end) if f.is_message}
    if inner.get(_KEY) == "location" and _VALUE in inner:
        yield inner[_VALUE]
