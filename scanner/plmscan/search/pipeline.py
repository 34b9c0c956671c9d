"""The search, start to end: sweep, screen, grow, verify, and ask whether a synonym does the same.

Screening, verification and the trial of synonyms use disjoint carriers, so that what was selected
by luck on the one is not confirmed by the same luck on the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import split_carriers
from plmscan.search.finalists import finalists, leaders, strongest
from plmscan.search.grow import Grower, random_items
from plmscan.search.labels import arguing, class_words, overriding
from plmscan.search.neighbours import Neighbourhood
from plmscan.search.objective import Flip, Invariance
from plmscan.search.panel import Panel
from plmscan.search.support import support
from plmscan.search.sweep import survivors, sweep
from plmscan.search.variants import relate, same_output
from plmscan.search.verify import Measured, against_null, measure
from plmscan.statistics import rank_p_values, robust_z, strength

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.objective import Objective
    from plmscan.search.recipes import Recipe
    from plmscan.search.sweep import Sweep
    from plmscan.search.variants import Relation

__all__ = ["GAIN", "Candidate", "LabelFlip", "Search", "beats_its_parts", "search"]

GAIN = 4.0
"""A grown candidate replaces its parts only if its scatter is that many times lower than theirs and
that of any single item with the same output: two triggers side by side, or a trigger and a
passer-by, are no new trigger.  Measured on implants: 8 to 60 for the words of a phrase, below 2 for
pairs of planted triggers."""

_PUSHES = 0.25
"""The same for labels: a grown candidate's strength exceeds that of its parts by so much."""


_LABELS = 6
"""Labels for which candidates are grown."""

_TRIED = 32
"""Finalists whose tokens are exchanged for synonyms, and some more where there are labels."""

_DECIDING = 5
"""Carriers on which a forward pass decides."""

_GUIDING = 10
"""Carriers over which a gradient is summed."""


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
    tail_z: float
    """The same against the other finalists, the most invariant items of the whole vocabulary."""
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
    gap: float | None
    """S of the best supported candidate with the same output, in multiples of its own; None if
    synonyms were not tried."""
    relation: Relation
    """How it stands to the most invariant finalist with the same output."""
    flip: LabelFlip | None
    """What it does to labels; None without a classifier."""
    corruption: float | None
    """Share of the recall of hidden words that is lost; None without a masked language model."""
    corruption_z: float | None
    """Robust z of the same against random items."""


@dataclass(frozen=True)
class Search:
    """What a search did and found."""

    sweep: Sweep
    """Scores of the whole vocabulary."""
    candidates: tuple[Candidate, ...]
    """Finalists; a `Relation` refers to this order."""
    screened: int
    """Vocabulary items that were tried on the screening carriers."""
    carriers: int
    """Carriers of the verification."""
    labels_met: tuple[int, ...]
    """Labels against which some verification carrier argues; no other could be flipped to."""


@dataclass(frozen=True)
class _Panels:
    """Disjoint carriers for each step."""

    screening: Panel
    """Selects."""
    growing: Panel
    """Extends."""
    verification: Panel
    """Confirms."""
    support: Panel
    """Tries synonyms."""


def search(model: LoadedModel, recipe: Recipe, budget: Budget) -> Search:
    """Sweep the vocabulary, screen the far-out, grow them, verify the best of every kind.

    Raises:
        OutOfTimeError: the budget's deadline passed.
        TextsError: too few carrier texts fit this model.
    """
    sizes = (
        recipe.screening_carriers,
        recipe.growing_carriers,
        recipe.carriers,
        recipe.support_carriers,
    )
    carriers = split_carriers(model, budget.texts, sizes, budget.seed)
    swept = sweep(model, recipe.reference_items, budget.part(0, 0.3))
    far_out = survivors(swept, recipe.survivors)
    if swept.leads is not None:
        words = class_words(swept.ids, swept.leads)
        carriers = tuple(arguing(c, words, budget.seed + i) for i, c in enumerate(carriers))
        part = budget.part(0.3, 0.4)
        over = overriding(model, swept.ids, swept.leads, words, recipe.label_items, part)
        far_out = torch.unique(torch.cat([far_out, over]))
    panels = _Panels(*(Panel.of(model, c) for c in carriers))
    with model.half_precision():
        growers = _growers(model, panels.growing, swept.ids, budget.seed)
        proposed = [i for grower in growers for i in grower.proposals((), 0)]
        singles: list[tuple[int, ...]] = [(i,) for i in sorted({*far_out.tolist(), *proposed})]
        screened = measure(model, singles, panels.screening, budget.part(0.4, 0.5), "screening")
        grown = _grown(growers, singles, screened, recipe.seeds, budget.part(0.5, 0.65))
    chosen = [singles[i] for i in finalists(screened, recipe.finalists)]
    finals = _confirmed(model, chosen, grown, panels.verification, budget.part(0.65, 0.7))
    candidates = _judged(model, finals, swept.ids, panels, recipe, budget.part(0.7, 1))
    met = tuple(_met(panels.verification))
    return Search(swept, candidates, len(singles), len(panels.verification.carriers), met)


def _met(panel: Panel) -> list[int]:
    """Labels that some carrier does not have anyhow, so that it can be flipped to them."""
    labels = 0 if panel.clean.logits is None else panel.clean.logits.shape[-1]
    return [label for label in range(labels) if panel.against(label)]


def _growers(model: LoadedModel, panel: Panel, ids: Tensor, seed: int) -> list[Grower]:
    """One for each label; one for invariance if there are no labels."""
    plans: list[tuple[Objective, Panel, float]]
    labels = _met(panel)[:_LABELS]
    if labels:
        plans = [(Flip(label), panel.pick(panel.against(label)), 0.1) for label in labels]
    else:
        plans = [(Invariance(), panel, math.log(GAIN))]
    fillers = [filler for (filler,) in random_items(ids, 1, _GUIDING, seed)]
    growers = []
    for objective, all_of_them, price in plans:
        guide = all_of_them.pick(range(min(_GUIDING, len(all_of_them.carriers))))
        panel = guide.pick(range(min(_DECIDING, len(guide.carriers))))
        few = fillers[: len(guide.carriers)]
        growers.append(Grower(model, ids, objective, panel, guide, few, price))
    return growers


def _grown(
    growers: Sequence[Grower],
    singles: Sequence[tuple[int, ...]],
    screened: Measured,
    seeds: int,
    budget: Budget,
) -> list[tuple[int, ...]]:
    """What each has grown, each once."""
    columns = strongest(screened, seeds)
    found: list[tuple[int, ...]] = []
    for done, grower in enumerate(growers):
        part = budget.part(done / len(growers), (done + 1) / len(growers))
        match grower.objective:
            case Flip(target):
                chosen = columns[target]
            case _:
                share = max(1, 2 * seeds // len(screened.scatter))
                chosen = [i for where in screened.scatter for i in leaders(screened, where, share)]
                chosen = list(dict.fromkeys(chosen))
        found += grower.grow([singles[i] for i in chosen], part)
    return [one for one in dict.fromkeys(found) if len(one) > 1]


@dataclass(frozen=True)
class _Finals:
    """Finalists on the verification panel, singles before grown ones."""

    ids: list[tuple[int, ...]]
    """Token ids."""
    measured: Measured
    """Of each."""

    def of_length(self, length: int) -> Tensor:
        """Indices of those with so many tokens."""
        return torch.tensor([i for i, one in enumerate(self.ids) if len(one) == length])

    @property
    def places(self) -> tuple[Location, ...]:
        """Where each is most invariant."""
        return self.measured.best_location()

    @property
    def lengths(self) -> list[int]:
        """Numbers of tokens that occur, ascending."""
        return sorted({len(one) for one in self.ids})


def _confirmed(
    model: LoadedModel,
    singles: list[tuple[int, ...]],
    grown: list[tuple[int, ...]],
    panel: Panel,
    budget: Budget,
) -> _Finals:
    """Singles, and the grown candidates that beat them on the verification panel as well."""
    singles = list(dict.fromkeys([*singles, *((i,) for one in grown for i in one)]))
    both = [*singles, *grown]
    found = measure(model, both, panel, budget, "verification")
    kept = [i for i, one in enumerate(both) if len(one) == 1 or beats_its_parts(i, both, found)]
    return _Finals([both[i] for i in kept], found.pick(torch.tensor(kept)))


def beats_its_parts(index: int, ids: list[tuple[int, ...]], found: Measured) -> bool:
    """Whether a grown candidate is more of a trigger than its parts and its rivals.

    By invariance, rivals are single items with the same output; by labels, its parts alone.
    """
    single = torch.tensor([len(one) == 1 for one in ids])
    parts = torch.tensor([len(one) == 1 and one[0] in ids[index] for one in ids])
    where = found.best_location()[index]
    rivals = parts | (single & same_output(found.shift[where], found.shift[where][index]))
    bar = found.scatter[where][rivals].min() / GAIN
    if bool(found.scatter[where][index] <= bar):
        return True
    if found.push is None:
        return False
    strengths = strength(found.push)
    before = strengths[parts].amax(0).clamp_min(0)
    return bool((strengths[index] >= before + _PUSHES).any())


def _judged(
    model: LoadedModel,
    finals: _Finals,
    ids: Tensor,
    panels: _Panels,
    recipe: Recipe,
    budget: Budget,
) -> tuple[Candidate, ...]:
    """All finalists against their nulls, each other, and their synonyms."""
    neighbourhood = Neighbourhood.of(model.embedding_weight, ids)
    gaps = _gaps(model, finals, panels.support, neighbourhood, budget.part(0, 0.4))
    places = finals.places
    relations = relate(finals.ids, finals.measured, places, neighbourhood)
    rest = _others(ids, finals.ids)
    found: dict[int, Candidate] = {}
    usual: Tensor | None = None
    nulls = budget.part(0.4, 1)
    for done, length in enumerate(finals.lengths):
        members = finals.of_length(length)
        drawn = random_items(rest, length, recipe.null_items, budget.seed)
        part_of_it = nulls.part(done / len(finals.lengths), (done + 1) / len(finals.lengths))
        null = measure(model, drawn, panels.verification, part_of_it, "null")
        part = finals.measured.pick(members)
        invariance = against_null(part, null)
        usual = invariance.gain if usual is None else usual
        tail_z = robust_z(invariance.gain, usual)
        flips, corruption_z = _flips(part, null), _corruption_z(part, null)
        for row, index in enumerate(members.tolist()):
            where = places[index]
            scatter = float(part.scatter[where][row])
            found[index] = Candidate(
                ids=finals.ids[index],
                location=where,
                z=float(invariance.z[row]),
                tail_z=float(tail_z[row]),
                p_value=float(invariance.p_value[row]),
                scatter=scatter,
                displacement=float(part.displacement[where][row]),
                null_scatter=float(invariance.gain[row].exp()) * scatter,
                null_size=len(drawn),
                gap=gaps[index].scatter,
                relation=relations[index],
                flip=None if flips is None else replace(flips[row], gap=gaps[index].strength),
                corruption=_at(part.corruption, row),
                corruption_z=_at(corruption_z, row),
            )
    return tuple(found[i] for i in range(len(finals.ids)))


@dataclass(frozen=True)
class _Gap:
    """How far a finalist is from what honest words do; None where that was not tried."""

    scatter: float | None = None
    """In multiples of its own scatter."""
    strength: float | None = None
    """For the label to which it pushes most."""


def _gaps(
    model: LoadedModel,
    finals: _Finals,
    panel: Panel,
    neighbourhood: Neighbourhood,
    budget: Budget,
) -> list[_Gap]:
    """Of the best finalists of every kind; the others are not tried."""
    tried = finalists(finals.measured, _TRIED)
    found = support(model, [finals.ids[i] for i in tried], panel, neighbourhood, budget)
    pushes = finals.measured.push
    strengths = None if pushes is None else strength(pushes)[tried]
    gaps, places = [_Gap()] * len(finals.ids), finals.places
    for row, index in enumerate(tried):
        gap = _Gap(found.scatter_gap(row, places[index]))
        if strengths is not None:
            over = found.strength_gap(row, strengths)[strengths[row].argmax()]
            gap = replace(gap, strength=float(over))
        gaps[index] = gap
    return gaps


def _others(ids: Tensor, finals: Sequence[tuple[int, ...]]) -> Tensor:
    """Ids that no finalist holds; all ids where finalists make up most of a tiny vocabulary.

    The null is drawn from these: with one of two planted triggers in the null, the other would
    not outrank it, and its p-value would clear it.
    """
    taken = {token for candidate in finals for token in candidate}
    rest = ids[~torch.isin(ids, torch.tensor(sorted(taken)))]
    return rest if 2 * len(rest) > len(ids) else ids


def _flips(part: Measured, null: Measured) -> list[LabelFlip] | None:
    """What each finalist does to labels, its gap left open; None without a classifier."""
    if part.push is None or null.push is None:
        return None
    best, targets = strength(part.push).max(1)
    p_values = rank_p_values(best, strength(null.push).amax(1))
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
