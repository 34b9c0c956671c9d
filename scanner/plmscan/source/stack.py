"""Adapters and what they are put on: a base that is found, and adapters that are stacked.

The name of the base stands in a file of the adapter, which whoever made it wrote.  So it is looked
for on the Hub and nowhere else: a path in such a file would lead into this machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError, PlmscanError, SourceError, UnsupportedModelError
from plmscan.layout import ADAPTER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plmscan.source.artifact import Artifact, SourceOptions

    _Find = Callable[[str, SourceOptions], Artifact]

__all__ = ["Finder", "Named", "named_base", "put_together", "require_base"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 200
"""Characters of a name that may be one."""
_SHOWN = 80
_REMEDY = "Name its base with --base."


@dataclass(frozen=True)
class Named:
    """The base that an adapter names."""

    name: str
    """``org/name`` on the Hub."""
    revision: str | None
    """Branch, tag or commit; None where the adapter leaves it open."""

    @property
    def source(self) -> str:
        """As a user would type it."""
        return self.name if self.revision is None else f"{self.name}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether it is one commit."""
        return bool(self.revision and _COMMIT.fullmatch(self.revision))


@dataclass(frozen=True)
class Finder:
    """How artifacts are found."""

    typed: _Find
    """What a user typed: a folder, or a model of the Hub."""
    on_hub: _Find
    """What a file names: a model of the Hub and nothing else."""
    listed: Callable[[Named, SourceOptions], Mapping[str, str] | None]
    """SHA-256 by path of the weights of a base by its name; None where nobody can tell."""


def named_base(adapter: Artifact) -> Named | str:
    """The base that ``adapter`` names, or why there is none."""
    try:
        settings = adapter.read_json(adapter.layout.at_home(ADAPTER))
    except ArtifactError as error:
        return error.problem
    name, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(name, str) or not name:
        return f"{ADAPTER} names no base."
    plain = _HUB_NAME.fullmatch(name) and ".." not in name and len(name) <= _LONGEST
    if not plain:
        return f"{ADAPTER} names the base {name[:_SHOWN]!a}, which is no model of the Hub."
    usable = isinstance(revision, str) and 0 < len(revision) <= _LONGEST
    return Named(name, revision if usable else None)


def put_together(
    found: Artifact,
    options: SourceOptions,
    base: str | None,
    adapters: tuple[str, ...],
    finder: Finder,
) -> Artifact:
    """``found`` with the base that it needs, and with ``adapters`` on top.

    Args:
        found: a model or an adapter.
        options: how to find and fetch the others.
        base: what the user names as its base; None for what the adapter names.
        adapters: further adapters that the user names.
        finder: finds them.

    Raises:
        SourceError: what the user named could not be had, or cannot be put together.
        ArtifactError: the same, of its files.
    """
    alone = replace(options, revision=None, adapter_folder=None, all_files=False)
    on_top = tuple(_adapter(_found(source, alone, finder.typed), source) for source in adapters)
    if not found.is_adapter:
        if base is not None:
            msg = f"{found.id} is no adapter, so it is put on no base."
            raise SourceError(msg, "Leave --base out; --adapter puts adapters on a model.")
        return replace(found, adapters=on_top)
    under, problem = _base(found, alone, base, finder)
    return replace(found, base=under, base_problem=problem, adapters=on_top)


def require_base(artifact: Artifact) -> None:
    """Refuse an adapter without what it is put on.

    Raises:
        UnsupportedModelError: there is no base.
    """
    if artifact.is_adapter and artifact.base is None:
        why = artifact.base_problem or "An adapter computes nothing without its base."
        raise UnsupportedModelError(why.removesuffix(f" {_REMEDY}"), _REMEDY)


def _found(source: str, options: SourceOptions, find: _Find) -> Artifact:
    """The artifact of ``source``, in the commit and with the digests of a lock file that names it.

    Raises:
        SourceError: it could not be had.
        ArtifactError: its files are broken.
    """
    pinned = options.pinned.get(source)
    if pinned is None:
        return find(source, replace(options, locked=None))
    name = source if pinned.revision is None else f"{source.partition('@')[0]}@{pinned.revision}"
    return find(name, replace(options, locked=pinned.files))


def _adapter(found: Artifact, source: str) -> Artifact:
    """An adapter that the user named.

    Raises:
        SourceError: it is none.
    """
    if found.is_adapter:
        return found
    msg = f"{source} is no adapter: it has no {ADAPTER}, or weights of its own beside it."
    raise SourceError(msg, "Name the folder or repository that peft saved with --adapter.")


def _base(
    adapter: Artifact,
    options: SourceOptions,
    asked: str | None,
    finder: Finder,
) -> tuple[Artifact | None, str | None]:
    """What ``adapter`` is put on, or None and the reason.

    Raises:
        SourceError: the user named a base, and it could not be had.
        ArtifactError: the same, of its files.
    """
    named = named_base(adapter)
    if asked is not None:
        under = _whole(_found(asked, options, finder.typed))
        known = None if isinstance(named, str) else finder.listed(named, options)
        return replace(under, named_digests=known), None
    if isinstance(named, str):
        return None, f"{named} {_REMEDY}"
    try:
        return _whole(_found(named.source, options, finder.on_hub)), None
    except PlmscanError as error:
        return None, f"Its base {named.source} could not be had: {error.problem} {_REMEDY}"


def _whole(found: Artifact) -> Artifact:
    """A base, which is a model.

    Raises:
        SourceError: it is an adapter itself.
    """
    if not found.is_adapter:
        return found
    msg = f"{found.id} is an adapter itself, and no base."
    raise SourceError(msg, "Name the model with --base, and every adapter with --adapter.")
