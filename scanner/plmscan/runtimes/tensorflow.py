"""TensorFlow graphs: operations that touch files or call Python."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from plmscan.runtimes.wire import TooManyPartsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["operations_in_text", "reaching_operations"]

_OPERATIONS = (
    "CSVDataset", "CSVDatasetV2", "DatasetToTFRecord", "DebugIdentity", "DebugIdentityV2",
    "DebugIdentityV3", "EagerPyFunc", "FileSystemSetConfiguration", "FixedLengthRecordDataset",
    "FixedLengthRecordDatasetV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2",
    "ImmutableConst", "LMDBDataset", "LMDBReader", "LoadDataset", "LoadLibrary", "MatchingFiles",
    "MatchingFilesDataset", "PyFunc", "PyFuncStateless", "ReadFile", "SaveDataset",
    "SaveDatasetV2", "SnapshotDataset", "SnapshotDatasetV2", "SqlDataset", "TFRecordDataset",
    "TFRecordDatasetV2", "TFRecordReader", "TFRecordReaderV2", "TextLineDataset",
    "TextLineReader", "TextLineReaderV2", "WholeFileReader", "WholeFileReaderV2", "WriteFile",
)  # fmt: skip
"""Operations that honest language models have no use for; restoring weights is not among them."""
_MORE = rb"\x80{0,8}[\x00\x10\x20\x30\x40\x50\x60\x70]"
"""How a number of seven bits a byte may go on without becoming another for those who read it."""
_TAG = rb"(?:\x12|\x92%b)" % _MORE
"""The tag of the field of a NodeDef that names its operation, in as many bytes as one likes."""
_BEFORE = {
    size: re.compile(
        b"%b(?:%b|%b%b)\\Z"
        % (_TAG, re.escape(bytes([size])), re.escape(bytes([size | 0x80])), _MORE)
    )
    for size in {len(name) for name in _OPERATIONS}
}
"""What stands before the name of an operation: the tag and the length of the name."""
_LONGEST_BEFORE = 20
"""Bytes of a tag and a length, each as long as it may be."""
_CHUNK = 2**20
_OVERLAP = 128
_MOST_NAMES = 500_000
_LARGEST_TEXT = 2**26
_MOST_OPERATIONS = 2**20
_OP = re.compile(rb"(?<![\w.])op(?=[\s#:])")
_GAP = re.compile(rb"(?:\s|#[^\n]*+\n)*+")
_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*+"|\'(?:[^\'\\\n]|\\.)*+\'', re.DOTALL)


def reaching_operations(file: BinaryIO) -> list[str]:
    """Names of operations that reach beyond the graph, sorted, each once.

    Raises:
        TooManyPartsError: there are more such names in it than in any graph.
    """
    found: set[str] = set()
    kept, left = b"", _MOST_NAMES
    while chunk := file.read(_CHUNK):
        data = kept + chunk
        for operation in _OPERATIONS:
            at = data.find(operation.encode())
            while at >= 0 and operation not in found:
                if _is_operation(data[max(0, at - _LONGEST_BEFORE) : at], operation):
                    found.add(operation)
                at = data.find(operation.encode(), at + 1)
                left -= 1
        if left < 0:
            msg = f"it has more than {_MOST_NAMES} names of operations that are none"
            raise TooManyPartsError(msg)
        kept = chunk[-_OVERLAP:]
    return sorted(found)


def _is_operation(before: bytes, operation: str) -> bool:
    """Whether the bytes before a name are a tag, and the length of the name."""
    return _BEFORE[len(operation)].search(before) is not None


def operations_in_text(file: BinaryIO) -> list[str]:
    """The same as `reaching_operations`, of a graph that is written as text.

    Raises:
        ValueError: it is longer than any.
    """
    text = file.read(_LARGEST_TEXT + 1)
    if len(text) > _LARGEST_TEXT:
        msg = f"it has more than {_LARGEST_TEXT >> 20} MB of text"
        raise TooManyPartsError(msg)
    return sorted(set(_named(text)) & set(_OPERATIONS))


def _named(text: bytes) -> Iterator[str]:
    """What stands behind ``op:``, where strings that follow each other are one.

    Raises:
        TooManyPartsError: there is more of it than in any graph.
    """
    work = 0
    for number, match in enumerate(_OP.finditer(text)):
        at = _behind_gap(text, match.end())
        if text[at : at + 1] == b":":
            name, at = _string(text, at + 1)
            yield name
        # Comments may hold the beginnings of others, and each is read to its end.
        work += at - match.end()
        if number > _MOST_OPERATIONS or work > 2 * _LARGEST_TEXT:
            msg = f"it has more than {_MOST_OPERATIONS} operations, as no known graph has"
            raise TooManyPartsError(msg)


def _behind_gap(text: bytes, at: int) -> int:
    """Where the spaces and comments end that may stand at a place."""
    gap = _GAP.match(text, at)
    return at if gap is None else gap.end()


def _string(text: bytes, at: int) -> tuple[str, int]:
    """The string whose parts stand at a place, one after another, and where they end."""
    parts = []
    while (part := _STRING.match(text, _behind_gap(text, at))) is not None:
        parts.append(_unquoted(part[0]))
        at = part.end()
    return "".join(parts), at


def _unquoted(string: bytes) -> str:
    """The text that a quoted string stands for; escapes are those of C, as Python's are."""
    with suppress(ValueError, SyntaxError):
        return str(ast.literal_eval(string.decode("latin-1")))
    return ""
