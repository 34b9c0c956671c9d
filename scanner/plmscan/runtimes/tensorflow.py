"""TensorFlow graphs: operations that touch files or call Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["reaching_operations"]

_OPERATIONS = (
    "EagerPyFunc", "FileSystemSetConfiguration", "LoadLibrary", "MatchingFiles", "PyFunc",
    "PyFuncStateless", "ReadFile", "WholeFileReader", "WholeFileReaderV2", "WriteFile",
)  # fmt: skip
"""Operations that honest language models have no use for; restoring weights is not among them."""
_NODE_OP = re.compile(b"|".join(b"\x12%c%b" % (len(n), n.encode()) for n in _OPERATIONS))
"""Field 2 of a NodeDef: its tag, the length of a name, the name."""
_CHUNK = 2**20
_OVERLAP = 64


def reaching_operations(file: BinaryIO) -> list[str]:
    """Names of operations that reach beyond the graph, sorted, each once."""
    found: set[str] = set()
    kept = b""
    while chunk := file.read(_CHUNK):
        found |= {match[2:].decode() for match in _NODE_OP.findall(kept + chunk)}
        kept = chunk[-_OVERLAP:]
    return sorted(found)
