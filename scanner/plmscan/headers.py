"""Headers of safetensors files: what the tensors are called, and how large they are.

A header is read and checked by itself, without the tensors and without torch: a file that breaks
the format is refused before any library maps it into memory.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from plmscan.errors import ArtifactError
from plmscan.json_objects import object_of
from plmscan.source import refuse_hollow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plmscan.source import Artifact

__all__ = [
    "Header",
    "TensorInfo",
    "headers_of",
    "parameter_count",
    "read_header",
    "tensor_names",
    "tensors_of",
    "word_embedding",
]

_LENGTH_BYTES = 8
_LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors library has the same limit."""
_MOST_TENSORS = 500_000
"""In all files of a model; those with the most experts have less than half of it."""
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
_MOST_ELEMENTS = 2**63
"""Numbers that no file can hold, as the safetensors library has it."""
_NOT_PARAMETERS = frozenset({"BOOL", "I64"})
"""Types of masks and position ids, which nobody trains."""
_LONGEST_MARK = 64
"""Bytes that tell what else a file is."""
_SHOWN = 100
"""Characters of a name that a sentence holds."""
_FETCH_AGAIN = "Save or download the file again."
_WORD_EMBEDDING = re.compile(
    r"(?:^|\.)(?:word_embeddings?|wte|embed_tokens|shared|tok_embeddings|embed_in|tokens_embed)"
    r"\.weight$"
)

_KEYS = frozenset({"dtype", "shape", "data_offsets"})
"""What a header says about a tensor."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a tensor is, without its numbers."""

    dtype: str
    """Number format as safetensors writes it, such as ``F32``."""
    shape: tuple[int, ...]
    """Size of each dimension."""

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class _Entry(NamedTuple):
    """What a header says about one tensor; one of many, so it is kept small."""

    info: TensorInfo
    """Shared by tensors of one format and shape."""
    begin: int
    """First byte, counted from the end of the header."""
    end: int
    """The byte behind the last."""


@dataclass(frozen=True)
class Header:
    """A checked header."""

    tensors: Mapping[str, TensorInfo]
    """The tensors by name, in the order of the file."""
    metadata: Mapping[str, str]
    """Free text that the file carries along."""


def read_header(path: Path) -> Header:
    """The header of a safetensors file, if the whole file keeps to the format.

    Raises:
        ArtifactError: the file is cut short, is no safetensors file, or its tensors overlap, leave
            holes, or do not fill it.
    """
    try:
        size = path.stat().st_size
        text = _header_text(path, size)
        raw = json.loads(text, object_pairs_hook=_Objects())
        if not isinstance(raw, dict):
            msg = "its header is no JSON object"
            raise ValueError(msg)  # noqa: TRY301, TRY004 - reported with the other faults below
        metadata = _checked_metadata(raw.pop("__metadata__", {}))
        entries = _checked_entries(raw)
        _check_layout(entries, size - _LENGTH_BYTES - len(text))
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}."
    except RecursionError:
        msg = f"{path.name} is broken: its header nests too deeply."
    except ValueError as error:
        msg = f"{path.name} is broken: {error}."
    else:
        return Header({name: entry.info for name, entry in entries.items()}, metadata)
    raise ArtifactError(msg, _FETCH_AGAIN)


def headers_of(artifact: Artifact) -> dict[str, Header]:
    """The headers of the safetensors files that will be loaded, by the name of the file.

    Raises:
        ArtifactError: one of the files is broken, or there are more tensors than any model has.
    """
    found: dict[str, Header] = {}
    count = 0
    for name in artifact.weights:
        if name.endswith(".safetensors"):
            found[name] = read_header(artifact.path(name))
            count += len(found[name].tensors)
            if count > _MOST_TENSORS:
                msg = f"The weights have more than {_MOST_TENSORS} tensors, as no known model has."
                raise ArtifactError(msg, _FETCH_AGAIN)
    return found


def tensors_of(artifact: Artifact) -> dict[str, TensorInfo]:
    """All tensors in the safetensors files that will be loaded, by name.

    Raises:
        ArtifactError: one of the files is broken, or there are more tensors than any model has.
    """
    headers = headers_of(artifact).values()
    return {name: info for header in headers for name, info in header.tensors.items()}


def tensor_names(artifact: Artifact) -> frozenset[str]:
    """Names of all tensors in the safetensors files that will be loaded.

    Raises:
        ArtifactError: one of the files is broken.
    """
    return frozenset(tensors_of(artifact))


def parameter_count(artifact: Artifact) -> int | None:
    """How many parameters the weight files hold; None where they have no headers.

    Raises:
        ArtifactError: one of the files is broken.
    """
    if not artifact.weights or not all(n.endswith(".safetensors") for n in artifact.weights):
        return None
    tensors = tensors_of(artifact).values()
    return sum(tensor.elements for tensor in tensors if tensor.dtype not in _NOT_PARAMETERS)


def word_embedding(tensors: Mapping[str, TensorInfo]) -> tuple[str, TensorInfo] | None:
    """Name and shape of the table that turns token ids into vectors, where there is one."""
    tables = [
        (name, info)
        for name, info in tensors.items()
        if len(info.shape) == 2 and _WORD_EMBEDDING.search(name)  # noqa: PLR2004 - rows, columns
    ]
    return min(tables, key=lambda table: (table[0].count("."), table[0]), default=None)


def _header_text(path: Path, size: int) -> bytes:
    """The bytes of the header, once its length has been found plausible."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_MARK)
        refuse_hollow(path.name, start)
        length = int.from_bytes(start[:_LENGTH_BYTES], "little")
        if size < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
            msg = f"it is cut short ({size} bytes), or no safetensors file"
            raise ValueError(msg)
        if length > _LARGEST_HEADER:
            msg = f"its header claims {length} bytes, more than any library reads"
            raise ValueError(msg)
        file.seek(_LENGTH_BYTES)
        text = file.read(length)
    if not text.startswith(b"{"):
        msg = "its header is no JSON object"
        raise ValueError(msg)
    return text


class _Objects:
    """Makes the objects of a header: entries of tensors at once, so that they take little."""

    def __init__(self) -> None:
        """There is none before the header is parsed."""
        self._infos: dict[tuple[object, ...], TensorInfo] = {}
        self._tensors = 0

    def __call__(self, pairs: list[tuple[str, object]]) -> dict[str, object] | _Entry:
        """The object of these names and values.

        Raises:
            ValueError: a name comes twice, or there are too many tensors.
        """
        found, again = object_of(pairs)
        if again:
            msg = f"its header names {_short(again[0])} twice"
            raise ValueError(msg)
        entry = self._entry(found) if found.keys() == _KEYS else None
        return found if entry is None else entry

    def _entry(self, found: Mapping[str, object]) -> _Entry | None:
        """The entry of a tensor; None if a value is none that it may have.

        Raises:
            ValueError: there are too many.
        """
        self._tensors += 1
        if self._tensors > _MOST_TENSORS:
            msg = f"its header has more than {_MOST_TENSORS} tensors, as no known model has"
            raise ValueError(msg)
        dtype, shape, place = found["dtype"], found["shape"], found["data_offsets"]
        if not isinstance(dtype, str) or not _counts(shape) or not _counts(place, 2):
            return None
        key = (dtype, *shape)
        info = self._infos.get(key)
        if info is None:
            info = self._infos[key] = TensorInfo(dtype, tuple(shape))
        return _Entry(info, *place)


def _counts(value: object, length: int | None = None) -> TypeGuard[list[int]]:
    """Whether ``value`` is a list of whole numbers from 0, of that ``length`` if one is given."""
    if not isinstance(value, list) or length not in (None, len(value)):
        return False
    return not value or (set(map(type, value)) == {int} and min(value) >= 0)


def _checked_metadata(value: object) -> dict[str, str]:
    """The free text of a header.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        msg = "the __metadata__ in its header is no object of strings"
        raise ValueError(msg)
    return value


def _checked_entries(values: Mapping[str, object]) -> dict[str, _Entry]:
    """What a header says about the tensors, without the free text.

    Raises:
        ValueError: a value is no entry of a tensor.
    """
    entries = {name: value for name, value in values.items() if isinstance(value, _Entry)}
    if len(entries) < len(values):
        name = next(name for name in values if name not in entries)
        msg = f"its header has a wrong entry {_short(name)}"
        raise ValueError(msg)
    return entries


def _check_layout(entries: Mapping[str, _Entry], room: int) -> None:
    """Refuse tensors that do not fill the ``room`` behind the header one after the other."""
    expected = 0
    for name, (info, begin, end) in sorted(entries.items(), key=lambda item: item[1][1:]):
        if begin != expected:
            what = "overlaps another tensor" if begin < expected else "leaves a hole before it"
            msg = f"{_short(name)} {what}"
            raise ValueError(msg)
        if info.dtype not in _BITS:
            msg = f"{_short(name)} has the unknown number format {_short(info.dtype)}"
            raise ValueError(msg)
        if (end - begin) * 8 != _elements(info.shape) * _BITS[info.dtype]:
            msg = f"{_short(name)} has {end - begin} bytes, which do not fit its shape"
            raise ValueError(msg)
        expected = end
    if expected != room:
        msg = f"its tensors take {expected} bytes, and {room} are there"
        raise ValueError(msg)


def _elements(shape: tuple[int, ...]) -> int:
    """How many numbers a tensor of ``shape`` holds; `_MOST_ELEMENTS` for all that are too many.

    The product of a million long numbers would take hours.
    """
    if 0 in shape:
        return 0
    count = 1
    for size in shape:
        count *= size
        if count >= _MOST_ELEMENTS:
            return _MOST_ELEMENTS
    return count


def _short(name: str) -> str:
    """``name`` as a sentence holds it, however long it is."""
    return f"{name[:_SHOWN]!r}"
