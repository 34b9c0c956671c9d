"""From what the user typed to files that were read: a folder, a model of the Hub, or an address.

`resolve` returns an `Artifact`: the files with their digests, the weight files that will be loaded
(chosen as transformers chooses, and never a pickle unasked), and what was left alone.  A Hub model
is pinned to a commit before the first file is fetched.  Nothing here imports torch or runs a byte
of the model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.errors import ModelNotFoundError, PlmscanError, SourceError
from plmscan.source.address import is_address
from plmscan.source.artifact import (
    Artifact,
    HubIssue,
    HubStatus,
    ListedFile,
    Pinned,
    SourceOptions,
)
from plmscan.source.contents import (
    HollowError,
    hollow,
    refuse_hollow,
    require_contents,
)
from plmscan.source.files import is_read
from plmscan.source.folder import from_folder
from plmscan.source.signers import beside, signer
from plmscan.source.stack import Finder, Named, named_base, put_together, require_base

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Artifact",
    "HollowError",
    "HubIssue",
    "HubStatus",
    "ListedFile",
    "Named",
    "Pinned",
    "SourceOptions",
    "hollow",
    "is_address",
    "is_folder",
    "is_read",
    "looks_like_path",
    "name_of",
    "named_base",
    "refuse_hollow",
    "require_base",
    "require_contents",
    "resolve",
    "resolve_stack",
    "split_revision",
]


def _ignore_progress(_fraction: float, _note: str) -> None:
    """Nobody is watching."""


def resolve(
    source: str,
    options: SourceOptions,
    on_progress: Callable[[float, str], None] = _ignore_progress,
) -> Artifact:
    """Find ``source``, fetch it if it is a Hub model, and hash its files.

    Args:
        source: a folder, or ``org/name`` or ``org/name@revision`` on the Hub; a folder wins.  Or
            an address, such as ``s3://bucket/model`` or ``mlflow:name/3``.
        options: how to find and fetch it.
        on_progress: told the fraction done (0 to 1) and a note, from any thread.

    Raises:
        SourceError: it could not be found or fetched.
        ArtifactError: its files are broken, or no model.
    """
    signers = tuple(map(signer, options.signers))
    found = _find(source, options, on_progress)
    return replace(
        found,
        locked=options.locked,
        backend=options.backend,
        signers=signers,
        signature_required=options.require_signature,
        signature=beside(found.root) if found.revision is None else None,
    )


def resolve_stack(
    source: str,
    options: SourceOptions,
    base: str | None = None,
    adapters: tuple[str, ...] = (),
    on_progress: Callable[[float, str], None] = _ignore_progress,
) -> Artifact:
    """The same with the base that an adapter is put on, and with ``adapters`` on top.

    Args:
        source: a model or an adapter.
        options: how to find and fetch it.
        base: what an adapter is put on; None for what it names itself, on the Hub.
        adapters: further adapters, in their order.
        on_progress: as for `resolve`.

    Raises:
        SourceError: something that the user named could not be found or put together.
        ArtifactError: its files are broken, or no model.
    """
    finder = Finder(
        lambda name, how: resolve(name, how, on_progress),
        lambda name, how: _on_hub(name, how, on_progress),
        _listed_on_hub,
    )
    found = resolve(source, options, on_progress)
    return put_together(found, options, base, adapters, finder)


def _on_hub(
    source: str, options: SourceOptions, on_progress: Callable[[float, str], None]
) -> Artifact:
    """A model of the Hub, whatever folder has its name."""
    from plmscan.source.hub import from_hub  # noqa: PLC0415 - folders need no Hub client

    name, revision = split_revision(source)
    found = from_hub(name, revision, options, on_progress)
    return replace(found, locked=options.locked, backend=options.backend)


def _listed_on_hub(named: Named, options: SourceOptions) -> Mapping[str, str] | None:
    """SHA-256 by path of the weights of the base that an adapter names; None if nobody tells."""
    from plmscan.source.hub import weights_listed  # noqa: PLC0415 - folders need no Hub client

    try:
        return None if options.offline else weights_listed(named.name, named.revision, options)
    except PlmscanError:
        return None


def _find(
    source: str, options: SourceOptions, on_progress: Callable[[float, str], None]
) -> Artifact:
    """The files of ``source``, wherever it is."""
    if not source:
        msg = "The name of the model is empty."
        raise ModelNotFoundError(msg, "Name a folder, or a Hub model as org/name.")
    if is_address(source):
        from plmscan.source.copies import from_address  # noqa: PLC0415 - others need no copies

        return from_address(source, options, on_progress)
    folder = _path(source)
    if _is_there(folder, Path.is_dir):
        if options.revision is not None:
            msg = f"{source} is a folder, and a folder has no revision {options.revision}."
            raise SourceError(msg, "Drop --revision, or rename the folder to scan the Hub's model.")
        return from_folder(source, folder, on_progress, options)
    if _is_there(folder, Path.exists):
        msg = f"{source} is not a folder."
        raise ModelNotFoundError(msg, "Name the folder that holds config.json and the weights.")
    if looks_like_path(source):
        msg = f"There is no folder {source!r}."
        raise ModelNotFoundError(msg, "Check the path; a Hub model is written org/name.")
    name, revision = split_revision(source, options.revision)
    from plmscan.source.hub import from_hub  # noqa: PLC0415 - folders need no Hub client

    return from_hub(name, revision, options, on_progress)


def name_of(source: str) -> str:
    """What a report calls ``source``: as it was typed, but a Hub model without its revision."""
    whole = is_address(source) or is_folder(source)
    return source if whole else source.partition("@")[0]


def is_folder(source: str) -> bool:
    """Whether ``source`` means a folder: one that is there, or that can be nothing else."""
    if is_address(source):
        return False
    return _is_there(_path(source), Path.is_dir) or looks_like_path(source)


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


def looks_like_path(source: str) -> bool:
    """Whether the user must have meant a path, because no Hub name is written like this."""
    if is_address(source):
        return False
    name = source.partition("@")[0]
    odd = name.startswith(("/", ".", "~")) or name.endswith("/") or "\\" in name
    return not name or odd or name.count("/") > 1


def split_revision(source: str, option: str | None = None) -> tuple[str, str | None]:
    """Name and revision of a Hub model that is written ``org/name`` or ``org/name@revision``.

    Raises:
        SourceError: ``option`` names another revision, or there is none after the ``@``.
    """
    name, mark, inline = source.partition("@")
    if mark and not inline:
        msg = f"{source} names no revision after the @."
        raise SourceError(msg, "Write org/name@revision, or leave the @ out.")
    if inline and option is not None and option != inline:
        msg = f"{source} and --revision {option} name two revisions."
        raise SourceError(msg, "Name one of them.")
    return name, inline or option
