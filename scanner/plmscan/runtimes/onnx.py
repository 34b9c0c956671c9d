"""ONNX models: which other files they read, and which operations call Python."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from plmscan.runtimes.wire import Bound, Wire, fields, parts, text, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from plmscan.runtimes.wire import Field

__all__ = ["MOST_FIELDS", "files_and_operations", "without_numbers"]

_INNER: Mapping[tuple[str, int], str] = MappingProxyType(
    {
        ("model", 7): "graph",
        ("model", 20): "training",
        ("model", 25): "function",
        ("training", 1): "graph",
        ("training", 2): "graph",
        ("function", 7): "node",
        ("function", 11): "attribute",
        ("graph", 1): "node",
        ("graph", 5): "tensor",
        ("graph", 15): "sparse",
        ("node", 4): "operation",
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
_PYTHON = frozenset({"PyOp", "PythonOp", "PythonOpGrad"})
"""Operations of onnxruntime's extensions and of its training that call a function by its name."""
MOST_FIELDS = 2_000_000
"""A graph of ten thousand nodes with their attributes has a tenth of that; each takes a moment."""
_KEY, _VALUE = 1, 2  # fields of StringStringEntryProto
_TO_ENTRY = (7, 5, 13)
"""Fields down to an entry: of the model, of a graph, of a tensor."""
_TO_OPERATION = (7, 1, 4)
"""The same to the name of an operation: of the model, of a graph, of a node."""


def files_and_operations(
    file: BinaryIO, size: int, bound: Bound | None = None
) -> tuple[list[str], list[str]]:
    """What a model reaches beyond its graph: files in which its tensors lie, and calls of Python.

    Returns:
        Paths as they are written, and names of operations; both sorted, each once.

    Raises:
        ValueError: the file is no ONNX model, or has more parts than ``bound`` allows.
    """
    paths: set[str] = set()
    operations: set[str] = set()
    for kind, field in parts(file, size, _INNER, bound or Bound(MOST_FIELDS)):
        if kind == "entry":
            paths.update(_locations(file, field))
        else:
            operations.add(text(file, field))
    return sorted(paths), sorted(operations & _PYTHON)


def without_numbers(file: BinaryIO, size: int) -> bytes:
    """A model that reads the same files and names the same Python operations, and nothing else.

    Raises:
        ValueError: the file is no ONNX model, or has more parts than any.
    """
    paths, operations = files_and_operations(file, size)
    entries = [_nested(_location(path), _TO_ENTRY) for path in paths]
    return b"".join([*entries, *(_nested(name.encode(), _TO_OPERATION) for name in operations)])


def _location(path: str) -> bytes:
    """The entry of a tensor that lies in the file ``path``."""
    return written(_KEY, b"location") + written(_VALUE, path.encode())


def _nested(content: bytes, numbers: tuple[int, ...]) -> bytes:
    """``content`` in fields of these numbers, the outermost first."""
    for number in reversed(numbers):
        content = written(number, content)
    return content


def _locations(file: BinaryIO, entry: Field) -> Iterator[str]:
    """The path in an entry of ``external_data``, where the entry is one."""
    inside = fields(Wire(file), entry.start, entry.end)
    inner = {field.number: text(file, field) for field in inside if field.is_message}
    if inner.get(_KEY) == "location" and _VALUE in inner:
        yield inner[_VALUE]
