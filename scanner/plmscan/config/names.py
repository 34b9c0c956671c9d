"""One name for one model, however it is typed."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from plmscan.source import is_address, is_folder, looks_like_path, split_revision

__all__ = ["key_of", "split_key"]


def key_of(source: str, revision: str | None, home: Path) -> str:
    """The name under which a file in ``home`` lists the model ``source``, as seen from here.

    A folder is told by its way from ``home`` (``./models/intent``), so that it does not matter
    where plmscan is started.  A Hub model is told as it is asked for: ``org/name``, or
    ``org/name@v2`` if a revision is; an address as it is.

    Raises:
        SourceError: ``source`` names a revision, and it is none, or another than ``revision``.
    """
    if is_address(source):
        return source
    if not is_folder(source):
        name, asked = split_revision(source, revision)
        return name if asked is None else f"{name}@{asked}"
    # links are not followed: a link that is turned to another folder is the same model, changed
    way = PurePath(os.path.relpath(Path(source).expanduser(), home)).as_posix()
    return way if way == "." or way.startswith("..") else f"./{way}"


def split_key(key: str) -> tuple[str, str | None]:
    """Name and asked revision of the Hub model ``key``; a folder's key has no revision."""
    if is_address(key) or looks_like_path(key):
        return key, None
    name, _, revision = key.partition("@")
    return name, revision or None
