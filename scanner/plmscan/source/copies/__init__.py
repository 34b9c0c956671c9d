"""A model behind an address: copied to this disk, with the digest of every byte, before it is read.

`stores` lists and reads object stores and web servers through fsspec, `registry` finds a version in
MLflow's registry, `archives` takes a zip apart, and `shelf` is where the copies stand.  A copy is
then a folder like any other, whose digests must be those of what came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError, SourceError
from plmscan.layout import NOTES
from plmscan.source.address import MLFLOW
from plmscan.source.copies.registry import MlflowVersion
from plmscan.source.copies.shelf import copied
from plmscan.source.copies.stores import Store
from plmscan.source.folder import from_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.source.artifact import Artifact, SourceOptions
    from plmscan.source.copies.shelf import Copy

__all__ = ["from_address"]


def from_address(
    source: str, options: SourceOptions, on_progress: Callable[[float, str], None]
) -> Artifact:
    """The model at the address ``source``.

    Raises:
        SourceError: it cannot be found or copied.
        ArtifactError: what was copied is no model, or the copy is not what came.
    """
    if options.revision is not None:
        msg = f"{source} is an address, and an address has no revision {options.revision}."
        raise SourceError(msg, "Drop --revision.")
    make = MlflowVersion if source.startswith(MLFLOW) else Store
    copy = copied(make(source), options, lambda part, note: on_progress(0.8 * part, note))
    found = from_folder(
        source, copy.root, lambda part, note: on_progress(0.8 + 0.2 * part, note), options
    )
    _compare(found, copy)
    return found


def _is_note(path: str) -> bool:
    """Whether it is a note of version control or of downloads, which is not read."""
    return any(f"/{path}".find(f"/{note}/") >= 0 for note in NOTES)


def _compare(found: Artifact, copy: Copy) -> None:
    """Refuse a copy that is not what came.

    Raises:
        ArtifactError: a file differs, is missing, or was added.
    """
    here = {file.path: file.sha256 for file in found.files}
    listed = {file.path for file in found.not_fetched}
    wrong = [path for path, sha256 in here.items() if copy.digests.get(path) != sha256]
    came = {path for path in copy.digests if not _is_note(path)}
    wrong += sorted(came - here.keys() - listed)
    wrong += sorted(listed - copy.digests.keys())
    if wrong:
        msg = f"The copy of {found.id} is not what came: {wrong[0]} differs."
        raise ArtifactError(msg, f"Delete {copy.root} and run again.")
