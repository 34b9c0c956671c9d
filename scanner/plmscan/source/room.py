"""Whether what somebody wants to put on this disk fits there: by its names, and by its size."""

from __future__ import annotations

import shutil
import unicodedata
from typing import TYPE_CHECKING

from plmscan.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_plain", "refuse_small_disk"]

_LONGEST_NAME = 255
_LONGEST_PATH = 1024
_SPARE = 2**28
"""Bytes of the disk that are left free."""


def is_plain(path: object) -> bool:
    """Whether it is a path that stays inside the folder it starts in, on any system."""
    if not isinstance(path, str) or not 0 < len(path) <= _LONGEST_PATH:
        return False
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in path):
        return False
    parts = path.split("/")
    long = any(len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in parts)
    return not long and "\\" not in path and not {"", ".", ".."} & set(parts)


def refuse_small_disk(folder: Path, size: int) -> None:
    """Refuse to fill the disk that ``folder`` lies on, or will lie on, with ``size`` bytes.

    Raises:
        SourceError: they do not fit.
    """
    place = next((p for p in (folder, *folder.parents) if p.exists()), None)
    if place is None or size < _SPARE:
        return
    free = shutil.disk_usage(place).free
    if size + _SPARE > free:
        need, have = size / 1e9, free / 1e9
        msg = f"{need:.1f} GB are to be fetched, and {place} has {have:.1f} GB left."
        raise SourceError(msg, "Make room, or name a cache on another disk with --cache-dir.")
