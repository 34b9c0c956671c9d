"""Small text files: read within bounds, written whole, and named as a person here would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.plain_text import NotTextError, decoded
from plmscan.whole_files import replace_file

if TYPE_CHECKING:
    from plmscan.errors import PlmscanError

__all__ = ["read_text", "seen_from_here", "write_whole"]

_LARGEST = 16 * 2**20
"""A lock file of a thousand models is a tenth of this."""


def read_text(path: Path, error: type[PlmscanError], largest: int = _LARGEST) -> str:
    """The text of ``path``.

    Raises:
        PlmscanError: an ``error``: it cannot be read, is no text, or is too large to be meant.
    """
    shown = seen_from_here(path).as_posix()
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
        if len(data) > largest:
            msg = f"{shown}:1: the file is larger than {largest // 2**20} MiB."
            raise error(msg, "Name another file.")
        return decoded(data)
    except OSError as problem:
        msg = f"{shown} cannot be read: {problem.strerror}."
        raise error(msg, "Check the path and its permissions.") from problem
    except NotTextError as problem:
        msg = f"{shown}:{problem.line}: {problem}."
        raise error(msg, "Save it as UTF-8.") from problem


def write_whole(path: Path, text: str, error: type[PlmscanError]) -> None:
    """Write ``text`` to ``path``, or leave what is there as it is.

    Raises:
        PlmscanError: an ``error``: it cannot be written.
    """
    try:
        replace_file(path, text)
    except OSError as problem:
        msg = f"{seen_from_here(path).as_posix()} cannot be written: {problem.strerror}."
        raise error(msg, "Check the folder and its permissions.") from problem


def seen_from_here(path: Path) -> Path:
    """``path`` relative to the working folder, unless it is absolute and not below it."""
    whole = path.absolute()
    if ".." in whole.parts:
        whole = whole.resolve()
    here = Path.cwd()
    if whole.is_relative_to(here):
        return whole.relative_to(here)
    return path if path.is_absolute() else Path(os.path.relpath(whole, here))
