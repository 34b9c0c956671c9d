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
from plmscan.statistics import robust_z

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
    screened = measured.pick(order)
    pairs = grow_pairs(model, singles, screened, screening, recipe.seeds, budget.part(0.5, 0.55))
    finals = (singles[: recipe.finalists], pairs[: recipe.finalists])
    groups = _confirmed(model, *finals, verification, budget.part(0.55, 0.65))
    others = _others(swept.ids, groups)
    nulls = [
        _null(model, others, group, verification, recipe, budget.part(0.65, 1)) for group in groups
    ]
    candidates = _judged(groups, nulls, screened, model.embedding_weight)
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
    everything = joined([group.measured for group in groups])
    places = everything.best_location()
    gains = torch.cat([invariance.gain for invariance in found])
    tail_z = robust_z(gains, found[0].gain)
    z = torch.cat([invariance.z for invariance in found])
    p_values = torch.cat([invariance.p_value for invariance in found])
    relations = relate(ids, everything, places, embedding)
    crowds = crowd(everything, places, screened)
    return tuple(
        Candidate(
            ids=candidate,
            location=where,
            z=float(z[i]),
            tail_z=float(tail_z[i]),
            p_value=float(p_values[i]),
            scatter=float(everything.scatter[where][i]),
            displacement=float(everything.displacement[where][i]),
            null_scatter=float(gains[i].exp() * everything.scatter[where][i]),
            null_size=len(nulls[0].best_scatter()),
            relation=relations[i],
            crowd=crowds[i],
        )
        for i, (candidate, where) in enumerate(zip(ids, places, strict=True))
    )
