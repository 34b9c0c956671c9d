"""Which models stand for a zoo where a full budget on all would take days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.zoo.manifest import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.zoo.manifest import Entry

__all__ = ["sample"]

_PREFERRED = {
    Kind.BACKDOORED: ("por-1", "neuba", "uor", "mean-pool", "badnets", "insertsent"),
    Kind.CLEAN: ("base", "contrastive", "classifier"),
}
"""Families of the sample, one model each; the first others where the zoo lacks one."""


def sample(models: Sequence[Entry]) -> tuple[Entry, ...]:
    """Six backdoored and three clean models, as far as the zoo has them; the same each time."""
    return tuple(entry for kind in _PREFERRED for entry in _of_kind(models, kind))


def _of_kind(models: Sequence[Entry], kind: Kind) -> list[Entry]:
    """The sample of one half: the preferred families, then others, then seconds of a family."""
    wanted = _PREFERRED[kind]
    half = [entry for entry in models if entry.kind is kind]
    firsts = {entry.family: entry.name for entry in reversed(half)}

    def turn(entry: Entry) -> tuple[int, int]:
        if firsts[entry.family] != entry.name:
            return 2, 0
        return (0, wanted.index(entry.family)) if entry.family in wanted else (1, 0)

    return sorted(half, key=turn)[: len(wanted)]
