"""In how many texts true triggers, and candidates in clean models, are what matters most."""

from __future__ import annotations

from itertools import chain
from statistics import median
from typing import TYPE_CHECKING

from pydantic import BaseModel

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts
from plmscan.evidence import Evidence, Trigger
from plmscan.probes.dynamic.gradient_attention import Probe
from plmscan.probes.suspects import most_invariant, token_ids
from plmscan.rules import load_rules
from tests.benchmarks.outcomes import Half
from tests.benchmarks.tables import Table, of
from tests.zoo.manifest import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plmscan.loading import LoadedModel
    from tests.zoo.manifest import Entry

__all__ = ["Localised", "localised", "tables"]

_AT_ONCE = 6
"""Candidates that the probe takes."""


class Localised(BaseModel):
    """One candidate in one model."""

    planted: bool
    """Whether it is a true trigger."""
    metrics: dict[str, float]
    """What the probe says of it."""

    def fires(self) -> bool:
        """Whether the probe's rule fires."""
        evidence = Evidence("gradient-attention", "", self.metrics)
        rules = (rule for rule in load_rules() if rule.probe == evidence.probe)
        return any(rule.fires(evidence) for rule in rules)


def localised(model: LoadedModel, entry: Entry, suspects: Sequence[Evidence]) -> list[Localised]:
    """True triggers of one piece, then the most invariant candidates of the search."""
    true = {tuple(chain.from_iterable(planted.parts)) for planted in entry.triggers} - {()}
    best = [one for one in most_invariant(suspects, _AT_ONCE) if token_ids(one) not in true]
    planted = [_candidate(ids) for ids in sorted(true)]
    return [*_measured(model, planted, planted=True), *_measured(model, best, planted=False)]


def _candidate(ids: tuple[int, ...]) -> Evidence:
    """Evidence about a true trigger, as a search would give it."""
    trigger = Trigger("", ids, "", 0, 0, 0, 1, 0)
    return Evidence("", "", {"scatter": 0.0}, trigger=trigger)


def _measured(
    model: LoadedModel, suspects: Sequence[Evidence], *, planted: bool
) -> Iterator[Localised]:
    """What the probe says of each."""
    for start in range(0, len(suspects), _AT_ONCE):
        some, budget = suspects[start : start + _AT_ONCE], Budget(bundled_texts())
        for told in Probe().follow_up(model, some, budget):
            if isinstance(told, Evidence):
                yield Localised(planted=planted, metrics=dict(told.metrics))


def tables(known: Sequence[tuple[Entry, list[Localised]]]) -> Iterator[Table]:
    """By attack family; then the candidates of clean models."""
    groups: dict[str, list[Localised]] = {}
    for entry, found in known:
        for one in found:
            if one.planted:
                groups.setdefault(entry.family, []).append(one)
            elif entry.kind is Kind.CLEAN:
                groups.setdefault(f"clean: {Half.of(entry).value}", []).append(one)
    order = sorted(groups, key=lambda name: name.startswith("clean"))
    yield Table(
        title="The token that matters most is the candidate's",
        columns=("group", "n", "localised", "controls", "share", "z", "PLM302 fires"),
        rows=tuple((name, *_row(groups[name])) for name in order),
        note="Medians. Localised: share of six carriers whose most salient token is the "
        "candidate's; controls: the same of control strings; share: of attention times gradient.",
    )


def _row(group: Sequence[Localised]) -> Iterator[str]:
    """Cells of one group."""
    yield str(len(group))
    for metric in ("localised", "usual", "share", "share_z"):
        yield f"{median(one.metrics[metric] for one in group):.2f}"
    yield of(sum(one.fires() for one in group), len(group))
