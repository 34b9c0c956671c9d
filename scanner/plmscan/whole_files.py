"""Files that are complete or absent: whoever reads one never sees half of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["beside", "replace_file"]


def replace_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, or leave what is there as it is.

    Raises:
        OSError: it cannot be written.
    """
    part = beside(path)
    try:
        part.write_bytes(text.encode("utf-8"))
        part.replace(path.resolve())
    finally:
        part.unlink(missing_ok=True)


def beside(path: Path) -> Path:
    """A temporary name in the folder that ``path`` really lies in."""
    real = path.resolve()
    return real.with_name(f".{real.name}.{os.getpid()}.part")
