"""Judging: finalists against random items, against each other, and against their synonyms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from plmscan.search.finalists import finalists
from plmscan.search.grow import random_items
from plmscan.search.landscape import points
from plmscan.search.layers import layer_scatters
from plmscan.search.support import support
from plmscan.search.variants import relate
from plmscan.search.verify import against_null, measure
from plmscan.statistics import rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.neighbours import Neighbourhood
    from plmscan.search.panel import Panel
    from plmscan.search.variants import Relation
    from plmscan.search.verify import Measured

__all__ = ["Candidate", "Finals", "LabelFlip", "judged"]

_TRIED = 32
"""Finalists whose tokens are exchanged for synonyms, and some more where there are labels."""

_TRACED = 8
"""Finalists that are followed through the layers."""


@dataclass(frozen=True)
class LabelFlip:
    """What a candidate does to a classifier's labels."""

    target: int
    """The label to which it pushes most."""
    strength: float
    """Nearly the weakest push over carriers that argue against it, in honest leads."""
    gap: float | None
    """Strength less that of the best supported candidate for that label; None if not tried."""
    p_value: float
    """Rank p-value of the strength among random items, each for its own best label."""


@dataclass(frozen=True)
class Candidate:
    """A finalist with all that was measured of it, at its most invariant location."""

    ids: tuple[int, ...]
    """Token ids."""
    location: Location
    """Where its scatter is lowest."""
    z: float
    """Robust z of -log scatter against random items."""
    p_value: float
    """Rank p-value among random items, corrected for the choice of location."""
    scatter: float
    """S there."""
    displacement: float
    """D there."""
    null_scatter: float
    """Median S of the null, each item at its own best location."""
    null_size: int
    """Items of the null."""
    relation: Relation
    """How it stands to the most invariant finalist with the same output."""
    flip: LabelFlip | None
    """What it does to labels; None without a classifier."""
    corruption: float | None
    """Share of the recall of hidden words that is lost; None without a masked language model."""
    corruption_z: float | None
    """Robust z of the same against random items."""
    gap: float | None = None
    """S of the best supported candidate with the same output, in multiples of its own; None if
    synonyms were not tried."""
    conjunction: float | None = None
    """S with its least needed token exchanged, in multiples of its own; None if not tried."""
    layers: tuple[float, ...] = ()
    """S of the classification token after each layer; empty if not measured."""
    core: tuple[int, ...] = ()
    """Tokens of a longer one that alone turn every ordinary carrier to its label."""


@dataclass(frozen=True)
class Finals:
    """Finalists on the verification panel, single items before longer ones."""

    ids: list[tuple[int, ...]]
    """Token ids."""
    measured: Measured
    """Of each."""

    @property
    def places(self) -> tuple[Location, ...]:
        """Where each is most invariant."""
        return self.measured.best_location()

    def kinds(self) -> list[tuple[int, list[int]]]:
        """Tokens of a null, and the indices of those that are held against it.

        Single items have one of their own.  All others share that of the longest: more random
        tokens leave less of a carrier, so it is never too mild.
        """
        longest = max(len(one) for one in self.ids)
        single = [i for i, one in enumerate(self.ids) if len(one) == 1]
        longer = [i for i, one in enumerate(self.ids) if len(one) > 1]
        return [(size, some) for size, some in ((1, single), (longest, longer)) if some]


def judged(
    model: LoadedModel,
    finals: Finals,
    neighbourhood: Neighbourhood,
    panels: tuple[Panel, Panel],
    null_items: int,
    budget: Budget,
) -> tuple[tuple[Candidate, ...], Tensor]:
    """All finalists, and displacement and scatter of the null of single items, (m, 2).

    ``panels`` are those of the verification and of the synonyms.  Rules judge what is measured
    here, so nothing here has half the digits.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    verification, supporting = panels
    gaps = _gaps(model, finals, supporting, neighbourhood, budget.part(0, 0.4))
    traced = _traced(model, finals, supporting)
    relations = relate(finals.ids, finals.measured, finals.places, neighbourhood)
    taken, kinds = _taken(neighbourhood.ids, finals.ids), finals.kinds()
    found: dict[int, Candidate] = {}
    usual = torch.empty(0, 2)
    for done, (size, members) in enumerate(kinds):
        part = budget.part(0.4, 1).part(done / len(kinds), (done + 1) / len(kinds))
        drawn = random_items(neighbourhood.ids, size, null_items, budget.seed, taken)
        null = measure(model, drawn, verification, part, "null")
        found |= _against(finals, members, null, null_items, relations)
        usual = points(null) if size == 1 else usual
    order = range(len(finals.ids))
    return tuple(_completed(found[i], gaps[i], traced.get(i, ())) for i in order), usual


def _against(
    finals: Finals,
    members: Sequence[int],
    null: Measured,
    null_size: int,
    relations: Sequence[Relation],
) -> dict[int, Candidate]:
    """The finalists ``members`` against random items as long, by index."""
    part = finals.measured.pick(torch.tensor(members))
    invariance, flips = against_null(part, null), _flips(part, null)
    corruption_z = _corruption_z(part, null)
    found = {}
    for row, (index, where) in enumerate(zip(members, part.best_location(), strict=True)):
        scatter = float(part.scatter[where][row])
        found[index] = Candidate(
            ids=finals.ids[index],
            location=where,
            z=float(invariance.z[row]),
            p_value=float(invariance.p_value[row]),
            scatter=scatter,
            displacement=float(part.displacement[where][row]),
            null_scatter=float(invariance.gain[row].exp()) * scatter,
            null_size=null_size,
            relation=relations[index],
            flip=None if flips is None else flips[row],
            corruption=_at(part.corruption, row),
            corruption_z=_at(corruption_z, row),
        )
    return found


def _completed(candidate: Candidate, gap: _Gap, layers: tuple[float, ...]) -> Candidate:
    """With what was measured on other carriers."""
    flip = candidate.flip and replace(candidate.flip, gap=gap.strength)
    return replace(
        candidate, gap=gap.scatter, conjunction=gap.conjunction, layers=layers, flip=flip
    )


def _traced(model: LoadedModel, finals: Finals, panel: Panel) -> dict[int, tuple[float, ...]]:
    """S after each layer, of the most invariant finalists, by index."""
    best = finals.measured.best_scatter().argsort(stable=True)[:_TRACED].tolist()
    rows = layer_scatters(model, [finals.ids[i] for i in best], panel.carriers)
    return {index: tuple(row) for index, row in zip(best, rows.tolist(), strict=True)}


@dataclass(frozen=True)
class _Gap:
    """How far a finalist is from what honest words do; None where that was not tried."""

    scatter: float | None = None
    """In multiples of its own scatter."""
    conjunction: float | None = None
    """How far it is from itself with its least needed token exchanged, in the same."""
    strength: float | None = None
    """For the label to which it pushes most."""


def _gaps(
    model: LoadedModel,
    finals: Finals,
    panel: Panel,
    neighbourhood: Neighbourhood,
    budget: Budget,
) -> list[_Gap]:
    """Of the best finalists of every kind; the others are not tried."""
    twins = neighbourhood.twins([one[0] for one in finals.ids])
    tried = finalists(finals.measured, _TRIED, twins)
    found = support(model, [finals.ids[i] for i in tried], panel, neighbourhood, budget)
    own = finals.measured.strength
    strengths = None if own is None else own[tried]
    gaps, places = [_Gap()] * len(finals.ids), finals.places
    for row, index in enumerate(tried):
        where = places[index]
        gap = _Gap(found.scatter_gap(row, where), found.conjunction(row, where))
        if strengths is not None:
            over = float(found.strength_gap(row, strengths)[strengths[row].argmax()])
            gap = replace(gap, strength=over if math.isfinite(over) else None)
        gaps[index] = gap
    return gaps


def _taken(ids: Tensor, finals: Sequence[tuple[int, ...]]) -> frozenset[int]:
    """Ids that a finalist holds; none where finalists make up most of a tiny vocabulary.

    The null is drawn without these: with one of two planted triggers in the null, the other would
    not outrank it, and its p-value would clear it.
    """
    taken = frozenset(token for candidate in finals for token in candidate)
    return taken if 2 * len(taken) < len(ids) else frozenset()


def _flips(part: Measured, null: Measured) -> list[LabelFlip] | None:
    """What each finalist does to labels, its gap left open; None without a classifier."""
    if part.strength is None or null.strength is None:
        return None
    best, targets = part.strength.max(1)
    p_values = rank_p_values(best, null.strength.amax(1))
    rows = zip(targets.tolist(), best.tolist(), p_values.tolist(), strict=True)
    return [LabelFlip(target, pushed, None, p_value) for target, pushed, p_value in rows]


def _at(values: Tensor | None, row: int) -> float | None:
    """One value, where there are any."""
    return None if values is None else float(values[row])


def _corruption_z(part: Measured, null: Measured) -> Tensor | None:
    """Corruption by each finalist against random items, (k)."""
    if part.corruption is None or null.corruption is None:
        return None
    return robust_z(part.corruption, null.corruption)
