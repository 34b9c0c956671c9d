"""Files that are complete or absent: whoever reads one never sees half of it."""

from __future__ import annotations

import os
from threading import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["beside", "replace_file"]


def replace_file(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path``, text as UTF-8, or leave what is there as it is.

    Raises:
        OSError: it cannot be written.
    """
    part = beside(path)
    try:
        part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        part.replace(path.resolve())
    finally:
        part.unlink(missing_ok=True)


def beside(path: Path) -> Path:
    """A temporary name in the folder that ``path`` really lies in, of this thread alone."""
    real = path.resolve()
    return real.with_name(f".{real.name}.{os.getpid()}.{get_ident()}.part")
