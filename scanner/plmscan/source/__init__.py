"""From what the user typed to files that were read: a folder, or a model of the Hub.

`resolve` returns an `Artifact`: the files with their digests, the weight files that will be loaded
(chosen as transformers chooses, and never a pickle unasked), and what was left alone.  A Hub model
is pinned to a commit before the first file is fetched.  Nothing here imports torch or runs a byte
of the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.errors import ModelNotFoundError, SourceError
from plmscan.source.artifact import Artifact, HubIssue, HubStatus, ListedFile, SourceOptions
from plmscan.source.folder import from_folder

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Artifact", "HubIssue", "HubStatus", "ListedFile", "SourceOptions", "resolve"]


def _ignore_progress(_fraction: float, _note: str) -> None:
    """Nobody is watching."""


def resolve(
    source: str,
    options: SourceOptions,
    on_progress: Callable[[float, str], None] = _ignore_progress,
) -> Artifact:
    """Find ``source``, fetch it if it is a Hub model, and hash its files.

    Args:
        source: a folder, or ``org/name`` or ``org/name@revision`` on the Hub.  A folder wins.
        options: how to find and fetch it.
        on_progress: told the fraction done (0 to 1) and a note, from any thread.

    Raises:
        SourceError: it could not be found or fetched.
        ArtifactError: its files are broken, or no model.
    """
    if not source:
        msg = "The name of the model is empty."
        raise ModelNotFoundError(msg, "Name a folder, or a Hub model as org/name.")
    folder = _path(source)
    if _is_there(folder, Path.is_dir):
        if options.revision is not None:
            msg = f"{source} is a folder, and a folder has no revision {options.revision}."
            raise SourceError(msg, "Drop --revision, or rename the folder to scan the Hub's model.")
        return from_folder(source, folder, on_progress, allow_pickle=options.allow_pickle)
    if _is_there(folder, Path.exists):
        msg = f"{source} is not a folder."
        raise ModelNotFoundError(msg, "Name the folder that holds config.json and the weights.")
    if _looks_like_path(source):
        msg = f"There is no folder {source!r}."
        raise ModelNotFoundError(msg, "Check the path; a Hub model is written org/name.")
    name, revision = _split(source, options.revision)
    from plmscan.source.hub import from_hub  # noqa: PLC0415 - folders need no Hub client

    return from_hub(name, revision, options, on_progress)


def _path(source: str) -> Path:
    """The source as a path, with ``~`` replaced where that means something."""
    try:
        return Path(source).expanduser()
    except RuntimeError:
        return Path(source)


def _is_there(path: Path, test: Callable[[Path], bool]) -> bool:
    """Whether ``test`` holds for a path; False for what cannot be a path."""
    try:
        return test(path)
    except (OSError, ValueError):
        return False


def _looks_like_path(source: str) -> bool:
    """Whether the user must have meant a path, because no Hub name is written like this."""
    name = source.partition("@")[0]
    odd = name.startswith(("/", ".", "~")) or name.endswith("/") or "\\" in name
    return not name or odd or name.count("/") > 1


def _split(source: str, option: str | None) -> tuple[str, str | None]:
    """Name and revision in ``org/name@revision``.

    Raises:
        SourceError: ``--revision`` names another revision, or there is none after the ``@``.
    """
    name, mark, inline = source.partition("@")
    if mark and not inline:
        msg = f"{source} names no revision after the @."
        raise SourceError(msg, "Write org/name@revision, or leave the @ out.")
    if inline and option is not None and option != inline:
        msg = f"{source} and --revision {option} name two revisions."
        raise SourceError(msg, "Name one of them.")
    return name, inline or option
