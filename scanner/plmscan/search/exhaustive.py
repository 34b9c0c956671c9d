"""The exhaustive search, start to end: sweep, screen, grow, verify."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import split_carriers
from plmscan.search.grow import grow_pairs, improving, random_items
from plmscan.search.sweep import survivors, sweep
from plmscan.search.variants import crowd, relate
from plmscan.search.verify import against_null, joined, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.recipes import Recipe
    from plmscan.search.sweep import Sweep
    from plmscan.search.variants import Relation
    from plmscan.search.verify import Measured

__all__ = ["Candidate", "Search", "search"]


@dataclass(frozen=True)
class Candidate:
    """A finalist with all that was measured of it, at its most invariant location."""

    ids: tuple[int, ...]
    """Token ids."""
    location: Location
    """Where it stands out most from the null."""
    z: float
    """Robust z of -log scatter there."""
    p_value: float
    """Rank p-value, corrected for the choice of location."""
    scatter: float
    """S there."""
    displacement: float
    """D there."""
    null_scatter: float
    """Median S of the null there."""
    null_size: int
    """Items of the null."""
    relation: Relation
    """How it stands to the most invariant finalist with the same output."""
    crowd: int
    """Screened items that lead to the same output nearly as invariantly, itself included."""


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


def search(model: LoadedModel, recipe: Recipe, budget: Budget) -> Search:
    """Sweep the vocabulary, screen the far-out, join them to pairs, verify the most invariant.

    Screening and verification use disjoint carriers, so that what was selected by luck on the one
    is not confirmed by the same luck on the other.

    Raises:
        OutOfTimeError: the budget's deadline passed.
        TextsError: too few carrier texts fit this model.
    """
    screening, verification = split_carriers(
        model, budget.texts, (recipe.screening_carriers, recipe.carriers), budget.seed
    )
    swept = sweep(model, recipe.reference_items, budget.part(0, 0.45))
    far_out = [(i,) for i in survivors(swept, recipe.survivors).tolist()]
    measured = measure(model, far_out, screening, budget.part(0.45, 0.5), "screening")
    order = measured.best_scatter().argsort(stable=True)
    singles = [far_out[i] for i in order.tolist()]
    seeds = measured.pick(order)
    pairs = grow_pairs(model, singles, seeds, screening, recipe.seeds, budget.part(0.5, 0.55))
    finals = (singles[: recipe.finalists], pairs[: recipe.finalists])
    groups = _confirmed(model, *finals, verification, budget.part(0.55, 0.65))
    others = _others(swept.ids, groups)
    nulls = [
        _null(model, others, group, verification, recipe, budget.part(0.65, 1)) for group in groups
    ]
    candidates = _judged(groups, nulls, seeds, model.embedding_weight)
    return Search(swept, candidates, len(far_out), len(verification))


@dataclass(frozen=True)
class _Group:
    """Finalists of one length, which share a null."""

    candidates: list[tuple[int, ...]]
    """Token ids, all of the same length."""
    measured: Measured
    """On the verification carriers."""


def _confirmed(
    model: LoadedModel,
    singles: list[tuple[int, ...]],
    pairs: list[tuple[int, ...]],
    carriers: Sequence[Carrier],
    budget: Budget,
) -> list[_Group]:
    """Singles, and the pairs that beat them on the verification carriers as well."""
    one = measure(model, singles, carriers, budget, "verification")
    groups = [_Group(singles, one)]
    if pairs:
        two = measure(model, pairs, carriers, budget, "verification")
        kept = improving(pairs, two, singles, one).nonzero().flatten()
        if len(kept):
            groups.append(_Group([pairs[i] for i in kept.tolist()], two.pick(kept)))
    return groups


def _others(ids: Tensor, groups: Sequence[_Group]) -> Tensor:
    """Ids that no finalist holds; all ids where finalists make up most of a tiny vocabulary.

    The null is drawn from these: with one of two planted triggers in the null, the other would
    not outrank it, and its p-value would clear it.
    """
    taken = {token for group in groups for candidate in group.candidates for token in candidate}
    rest = ids[~torch.isin(ids, torch.tensor(sorted(taken)))]
    return rest if 2 * len(rest) > len(ids) else ids


def _null(
    model: LoadedModel,
    ids: Tensor,
    group: _Group,
    carriers: Sequence[Carrier],
    recipe: Recipe,
    budget: Budget,
) -> Measured:
    """Random sequences as long as the group's candidates, on the same carriers."""
    drawn = random_items(ids, len(group.candidates[0]), recipe.null_items, budget.seed)
    return measure(model, drawn, carriers, budget, "null")


def _judged(
    groups: Sequence[_Group], nulls: Sequence[Measured], screened: Measured, embedding: Tensor
) -> tuple[Candidate, ...]:
    """All finalists against their nulls, each other, and everything that was screened."""
    found = [against_null(group.measured, null) for group, null in zip(groups, nulls, strict=True)]
    ids = [candidate for group in groups for candidate in group.candidates]
    places = [where for invariance in found for where in invariance.location]
    everything = joined([group.measured for group in groups])
    relations = iter(relate(ids, everything, places, embedding))
    crowds = iter(crowd(everything, places, screened))
    return tuple(
        Candidate(
            ids=candidate,
            location=where,
            z=float(invariance.z[i]),
            p_value=float(invariance.p_value[i]),
            scatter=float(group.measured.scatter[where][i]),
            displacement=float(group.measured.displacement[where][i]),
            null_scatter=float(null.scatter[where].median()),
            null_size=len(null.scatter[where]),
            relation=next(relations),
            crowd=next(crowds),
        )
        for group, null, invariance in zip(groups, nulls, found, strict=True)
        for i, (candidate, where) in enumerate(
            zip(group.candidates, invariance.location, strict=True)
        )
    )
