"""Models that belong to the one that is checked, each with the settings of a check of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from plmscan.probes.relations import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.scan.settings import Settings
    from plmscan.source import Artifact

    Shrunken = Literal["int8", "nf4"]

__all__ = ["Relative", "copies", "relatives", "unchecked_siblings"]

_MOST_SIBLINGS = 4
"""Other adapters of a repository that are checked as well: each takes as long as the first."""


@dataclass(frozen=True)
class Relative:
    """A model that a check is about as well."""

    relation: Relation
    """What it is to the model."""
    artifact: Artifact | None
    """Its files; None for a sibling, whose files are chosen anew."""
    settings: Settings
    """How it is checked by itself."""


def relatives(artifact: Artifact, settings: Settings) -> Iterator[Relative]:
    """The base of adapters, the files of further adapters, and adapters of the same repository."""
    settings = replace(settings, reference=None, also=())
    alone = replace(settings, base=None, adapter=(), revision=None, pinned={})
    bottom, *_ = artifact.stack
    if bottom is not artifact or artifact.adapters:
        plain = replace(bottom, adapters=(), named_digests=None)
        if not bottom.is_adapter:
            yield Relative(Relation.BASE, plain, _about(alone, plain))
    for adapter in artifact.adapters:
        files = replace(_about(alone, adapter), files_only=True)
        yield Relative(Relation.ADAPTER, adapter, files)
    for folder in artifact.layout.siblings[:_MOST_SIBLINGS]:
        yield Relative(Relation.SIBLING, None, replace(settings, adapter_folder=folder))


def copies(artifact: Artifact, settings: Settings) -> Iterator[Relative]:
    """The same files, shrunken in each of the ways that the user asks for."""
    for one in settings.also:
        kind = cast("Shrunken", one.partition(":")[2])
        its = replace(settings, reference=None, also=(), shrunken=kind, fail_fast=False)
        yield Relative(Relation.COPY, artifact, its)


def unchecked_siblings(artifact: Artifact) -> tuple[str, ...]:
    """Folders of adapters of the same repository that are too many to be checked."""
    return artifact.layout.siblings[_MOST_SIBLINGS:]


def _about(settings: Settings, artifact: Artifact) -> Settings:
    """The settings of a check of ``artifact`` by itself."""
    waivers = settings.waivers.of(artifact.id)
    return replace(
        settings, locked=artifact.locked, waivers=waivers, adapter_folder=None, fail_fast=False
    )
