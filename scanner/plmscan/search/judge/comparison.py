"""Comparison: finalists against random items, against each other, and against their synonyms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from plmscan.search.judge.layers import layer_scatters
from plmscan.search.judge.profile import Candidate, LabelFlip
from plmscan.search.judge.variants import relate
from plmscan.search.measure.candidates import random_items
from plmscan.search.measure.effects import measure
from plmscan.search.verify.gaps import synonym_gaps
from plmscan.search.verify.null import against_null, left_out
from plmscan.statistics import rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.judge.variants import Relation
    from plmscan.search.measure.effects import Measured
    from plmscan.search.measure.readings import Panel
    from plmscan.search.verify.finals import Finals
    from plmscan.search.verify.gaps import SynonymGap
    from plmscan.search.verify.neighbours import Neighbourhood

__all__ = ["judged"]

_TRACED = 8
"""Finalists that are followed through the layers."""


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
    gaps = synonym_gaps(model, finals, supporting, neighbourhood, budget.part(0, 0.4))
    traced = _traced(model, finals, supporting)
    relations = relate(finals.ids, finals.measured, finals.places, neighbourhood)
    taken, kinds = left_out(neighbourhood.ids, finals.ids), finals.kinds()
    found: dict[int, Candidate] = {}
    usual = torch.empty(0, 2)
    for done, (size, members) in enumerate(kinds):
        part = budget.part(0.4, 1).part(done / len(kinds), (done + 1) / len(kinds))
        drawn = random_items(neighbourhood.ids, size, null_items, budget.seed, taken)
        null = measure(model, drawn, verification, part, "null")
        found |= _against(finals, members, null, null_items, relations)
        usual = null.points() if size == 1 else usual
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


def _completed(candidate: Candidate, gap: SynonymGap, layers: tuple[float, ...]) -> Candidate:
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
