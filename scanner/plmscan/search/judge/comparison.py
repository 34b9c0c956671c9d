"""Comparison: finalists against random items, against each other, and against their synonyms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from plmscan.search.judge.layers import layer_scatters
from plmscan.search.judge.profile import Candidate, LabelFlip
from plmscan.search.judge.variants import relate
from plmscan.search.measure.candidates import random_items
from plmscan.search.measure.effects import Measured, measure
from plmscan.search.verify.gaps import SynonymGap, synonym_gaps
from plmscan.search.verify.null import against_null, left_out
from plmscan.statistics import rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.judge.variants import Relation
    from plmscan.search.measure.readings import Panel
    from plmscan.search.verify.finals import Finals
    from plmscan.search.verify.neighbours import Neighbourhood

__all__ = ["judged"]

_TRACED = 8
"""Finalists that are followed through the layers."""

_FIRST = 25
"""Random items of each null that are read in any case: their median and spread stand to a fifth."""

_BY_NULL = frozenset({"z", "null_scatter", "corruption_z"})
"""Metrics that move with every further item of a null."""

_BY_SYNONYMS = frozenset({"gap", "conjunction", "strength_gap"})
"""Metrics that the null of synonyms gives."""

_ELSEWHERE = frozenset({"sweep_rank"})
"""Metrics that are not known here."""


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
    here, so nothing here has half the digits.  What no rule can name any more is read no further.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    verification, supporting = panels
    relations = relate(finals.ids, finals.measured, finals.places, neighbourhood)
    taken, kinds = left_out(neighbourhood.ids, finals.ids), finals.kinds()
    found: dict[int, Candidate] = {}
    usual = torch.empty(0, 2)
    for done, (size, members) in enumerate(kinds):
        part = budget.part(0, 0.6).part(done / len(kinds), (done + 1) / len(kinds))
        drawn = random_items(neighbourhood.ids, size, null_items, budget.seed, taken)
        trial = _Trial(model, finals, members, relations)
        some, null = trial.against(drawn, verification, part)
        found |= some
        usual = null.points() if size == 1 else usual
    candidates = [found[i] for i in range(len(finals.ids))]
    open_ones = [i for i, one in enumerate(candidates) if _by_synonyms(model, one, budget)]
    part = budget.part(0.6, 1)
    gaps = synonym_gaps(model, finals, open_ones, supporting, neighbourhood, part)
    traced = _traced(model, finals, open_ones, supporting)
    return tuple(
        _completed(one, gaps.get(i), traced.get(i, ()), closed=i not in open_ones)
        for i, one in enumerate(candidates)
    ), usual


def _by_synonyms(model: LoadedModel, one: Candidate, budget: Budget) -> bool:
    """Whether a rule can still name it, whatever its synonyms do."""
    return budget.matters(one.metrics(len(model.labels)), _BY_SYNONYMS | _ELSEWHERE)


@dataclass(frozen=True)
class _Trial:
    """Finalists of one kind, held against random items as long."""

    model: LoadedModel
    """The model."""
    finals: Finals
    """All finalists."""
    members: Sequence[int]
    """Which of them."""
    relations: Sequence[Relation]
    """Of all."""

    def against(
        self, drawn: Sequence[tuple[int, ...]], panel: Panel, budget: Budget
    ) -> tuple[dict[int, Candidate], Measured]:
        """The members by index, and the null: its first items, and more while it can matter."""
        null = measure(self.model, drawn[:_FIRST], panel, budget, "null")
        done = min(_FIRST, len(drawn))
        found = self._held(null, done)
        while done < len(drawn) and any(
            self._may_matter(one, len(drawn), budget) for one in found.values()
        ):
            more = measure(self.model, drawn[done : 2 * done], panel, budget, "null")
            null, done = Measured.joined([null, more]), min(2 * done, len(drawn))
            found = self._held(null, done)
        return found, null

    def _may_matter(self, one: Candidate, items: int, budget: Budget) -> bool:
        """Whether a rule can still name it once all ``items`` of the null are read.

        Of a p-value it is known how small it can become: nothing else is as extreme.
        """
        known = dict(one.metrics(len(self.model.labels)))
        for name in ("p_value", "strength_p"):
            if name in known:
                known[name] *= (one.null_size + 1) / (items + 1)
        for name in _BY_NULL:
            known.pop(name, None)
        return budget.matters(known, _BY_NULL | _BY_SYNONYMS | _ELSEWHERE)

    def _held(self, null: Measured, null_size: int) -> dict[int, Candidate]:
        """Each member against so much of the null, by index."""
        part = self.finals.measured.pick(torch.tensor(self.members))
        invariance, flips = against_null(part, null), _flips(part, null)
        corruption_z = _corruption_z(part, null)
        found = {}
        for row, (index, where) in enumerate(zip(self.members, part.best_location(), strict=True)):
            scatter = float(part.scatter[where][row])
            found[index] = Candidate(
                ids=self.finals.ids[index],
                location=where,
                z=float(invariance.z[row]),
                p_value=float(invariance.p_value[row]),
                scatter=scatter,
                displacement=float(part.displacement[where][row]),
                null_scatter=float(invariance.gain[row].exp()) * scatter,
                null_size=null_size,
                relation=self.relations[index],
                flip=None if flips is None else flips[row],
                corruption=_at(part.corruption, row),
                corruption_z=_at(corruption_z, row),
            )
        return found


def _completed(
    candidate: Candidate, gap: SynonymGap | None, layers: tuple[float, ...], *, closed: bool
) -> Candidate:
    """With what was measured on other carriers; ``closed`` if that could not matter."""
    known = gap or SynonymGap()
    flip = candidate.flip and replace(candidate.flip, gap=known.strength)
    return replace(
        candidate,
        gap=known.scatter,
        conjunction=known.conjunction,
        layers=layers,
        flip=flip,
        unmeasured=_BY_SYNONYMS if closed else frozenset(),
    )


def _traced(
    model: LoadedModel, finals: Finals, wanted: Sequence[int], panel: Panel
) -> dict[int, tuple[float, ...]]:
    """S after each layer, of the most invariant finalists that are ``wanted``, by index."""
    scatter = finals.measured.best_scatter()
    best = sorted(wanted, key=lambda i: float(scatter[i]))[:_TRACED]
    if not best:
        return {}
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
