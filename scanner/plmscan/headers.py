"""Headers of safetensors files: what the tensors are called, and how large they are.

A header is read and checked by itself, without the tensors and without torch: a file that breaks
the format is refused before any library maps it into memory.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from plmscan.errors import ArtifactError
from plmscan.source import refuse_hollow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plmscan.source import Artifact

__all__ = [
    "Header",
    "TensorInfo",
    "parameter_count",
    "read_header",
    "tensor_names",
    "tensors_of",
    "word_embedding",
]

_LENGTH_BYTES = 8
_LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors library has the same limit."""
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

_Offset = Annotated[int, Field(ge=0)]


class _Entry(BaseModel):
    """What a header says about one tensor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Annotated[str, Field(strict=True)]
    """Name of the number format."""
    shape: tuple[Annotated[int, Field(ge=0, strict=True)], ...]
    """Size of each dimension."""
    data_offsets: tuple[_Offset, _Offset]
    """First byte and the byte behind the last, counted from the end of the header."""


_ENTRIES = TypeAdapter(dict[str, _Entry])
_METADATA = TypeAdapter(dict[str, Annotated[str, Field(strict=True)]])


@dataclass(frozen=True)
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
        raw = json.loads(text, object_pairs_hook=_without_repeats)
        if not isinstance(raw, dict):
            msg = "its header is no JSON object"
            raise ValueError(msg)  # noqa: TRY301, TRY004 - reported with the other faults below
        metadata = _METADATA.validate_python(raw.pop("__metadata__", {}))
        entries = _ENTRIES.validate_python(raw)
        _check_layout(entries, size - _LENGTH_BYTES - len(text))
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}."
    except ValidationError as error:
        msg = f"{path.name} is broken: {_first_problem(error)}."
    except RecursionError:
        msg = f"{path.name} is broken: its header nests too deeply."
    except ValueError as error:
        msg = f"{path.name} is broken: {error}."
    else:
        tensors = {name: TensorInfo(e.dtype, e.shape) for name, e in entries.items()}
        return Header(tensors, metadata)
    raise ArtifactError(msg, _FETCH_AGAIN)


def tensors_of(artifact: Artifact) -> dict[str, TensorInfo]:
    """All tensors in the safetensors files that will be loaded, by name.

    Raises:
        ArtifactError: one of the files is broken.
    """
    found: dict[str, TensorInfo] = {}
    for name in artifact.weights:
        if name.endswith(".safetensors"):
            found.update(read_header(artifact.path(name)).tensors)
    return found


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


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; readers disagree on which of two values under one name counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                msg = f"its header names {_short(name)} twice"
                raise ValueError(msg)
            seen.add(name)
    return found


def _check_layout(entries: Mapping[str, _Entry], room: int) -> None:
    """Refuse tensors that do not fill the ``room`` behind the header one after the other."""
    expected = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        if begin != expected:
            what = "overlaps another tensor" if begin < expected else "leaves a hole before it"
            msg = f"{_short(name)} {what}"
            raise ValueError(msg)
        if entry.dtype not in _BITS:
            msg = f"{_short(name)} has the unknown number format {_short(entry.dtype)}"
            raise ValueError(msg)
        if (end - begin) * 8 != _elements(entry.shape) * _BITS[entry.dtype]:
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


def _first_problem(error: ValidationError) -> str:
    """The first fault that the validator found, with the tensor it is about."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"its header has a wrong entry {place[:100]!r} ({problem['msg']})"
