"""Comparison: finalists against random items, against each other, and against their synonyms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from plmscan.loading.decisions import BY_TOKENS
from plmscan.search.judge.layers import layer_scatters
from plmscan.search.judge.profile import Candidate, LabelFlip
from plmscan.search.judge.variants import relate, where_labels_tell
from plmscan.search.measure.candidates import random_items
from plmscan.search.measure.effects import Measured, measure
from plmscan.search.verify.gaps import SynonymGap, synonym_gaps
from plmscan.search.verify.null import against_null, left_out
from plmscan.statistics import rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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

_BY_NULL = frozenset({"z", "null_scatter", "null_size", "corruption_z", "strength_z"})
"""Metrics that move with every further item of a null."""

_BY_SYNONYMS = frozenset({"gap", "conjunction", "strength_gap", "beyond_gap"})
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
    if isinstance(model.decision, BY_TOKENS) and finals.measured.strength is not None:
        relations = where_labels_tell(relations, finals.measured.strength)
    taken = left_out(neighbourhood.ids, finals.ids)
    trials = [
        _Trial(
            model,
            finals,
            members,
            relations,
            verification,
            random_items(neighbourhood.ids, size, null_items, budget.seed, taken),
        )
        for size, members in finals.kinds()
    ]
    nulls = [trial.first(_step(budget.part(0, 0.2), k, trials)) for k, trial in enumerate(trials)]
    found = _joined(trial.held(null) for trial, null in zip(trials, nulls, strict=True))
    open_ones = [
        i for i, one in found.items() if _matters(model, one, null_items, budget, _BY_SYNONYMS)
    ]
    tried = synonym_gaps(model, finals, open_ones, supporting, neighbourhood, budget.part(0.2, 0.6))
    gaps = {i: tried.get(i, SynonymGap()) for i in found}
    for at, trial in enumerate(trials):
        part = _step(budget.part(0.6, 1), at, trials)
        still = (_with_gap(found[i], gaps[i]) for i in trial.members if i in open_ones)
        if any(_matters(model, one, null_items, budget, frozenset()) for one in still):
            nulls[at] = trial.whole(nulls[at], part)
            found |= trial.held(nulls[at])
    traced = _traced(model, finals, open_ones, supporting)
    return tuple(
        replace(
            _with_gap(found[i], gaps[i]),
            layers=traced.get(i, ()),
            unmeasured=frozenset() if i in open_ones else _BY_SYNONYMS,
        )
        for i in range(len(finals.ids))
    ), _usual(trials, nulls)


def _step(budget: Budget, at: int, among: Sequence[_Trial]) -> Budget:
    """The limits of one of so many."""
    return budget.part(at / len(among), (at + 1) / len(among))


def _joined(parts: Iterable[Mapping[int, Candidate]]) -> dict[int, Candidate]:
    """Candidates of several kinds, by index."""
    return {index: one for part in parts for index, one in part.items()}


def _usual(trials: Sequence[_Trial], nulls: Sequence[Measured]) -> Tensor:
    """Displacement and scatter of the null of single items, (m, 2); m is 0 without any."""
    singles = [null for trial, null in zip(trials, nulls, strict=True) if len(trial.drawn[0]) == 1]
    return singles[0].points() if singles else torch.empty(0, 2)


def _matters(
    model: LoadedModel, one: Candidate, items: int, budget: Budget, pending: frozenset[str]
) -> bool:
    """Whether a rule can still name it once all ``items`` of the null are read.

    Of a p-value it is known how small it can become: nothing else is as extreme.
    """
    known = dict(one.metrics(model.decision))
    for name in ("p_value", "strength_p"):
        if name in known:
            known[name] *= (one.null_size + 1) / (items + 1)
    for name in _BY_NULL:
        known.pop(name, None)
    return budget.matters(known, _BY_NULL | _ELSEWHERE | pending)


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
    panel: Panel
    """Carriers of the verification."""
    drawn: Sequence[tuple[int, ...]]
    """The random items, in their order."""

    def first(self, budget: Budget) -> Measured:
        """The first of the null."""
        return measure(self.model, self.drawn[:_FIRST], self.panel, budget, "null")

    def whole(self, first: Measured, budget: Budget) -> Measured:
        """All of it."""
        if len(self.drawn) <= _FIRST:
            return first
        rest = measure(self.model, self.drawn[_FIRST:], self.panel, budget, "null")
        return Measured.joined([first, rest])

    def held(self, null: Measured) -> dict[int, Candidate]:
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
                null_size=len(null.best_scatter()),
                relation=self.relations[index],
                flip=None if flips is None else flips[row],
                corruption=_at(part.corruption, row),
                corruption_z=_at(corruption_z, row),
            )
        return found


def _with_gap(candidate: Candidate, gap: SynonymGap) -> Candidate:
    """With what its synonyms do."""
    flip = candidate.flip and replace(candidate.flip, gap=gap.strength, beyond=gap.beyond)
    return replace(candidate, gap=gap.scatter, conjunction=gap.conjunction, flip=flip)


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
    if part.strength is None or null.strength is None or part.push is None:
        return None
    best, targets = part.strength.max(1)
    usual = null.strength.amax(1)
    opposed = (~part.push[0].isnan()).sum(0)[targets]
    told = (targets, best, rank_p_values(best, usual), robust_z(best, usual), opposed)
    rows = zip(*(one.tolist() for one in told), strict=True)
    return [LabelFlip(target, pushed, None, *others) for target, pushed, *others in rows]


def _at(values: Tensor | None, row: int) -> float | None:
    """One value, where there are any."""
    return None if values is None else float(values[row])


def _corruption_z(part: Measured, null: Measured) -> Tensor | None:
    """Corruption by each finalist against random items, (k)."""
    if part.corruption is None or null.corruption is None:
        return None
    return robust_z(part.corruption, null.corruption)
