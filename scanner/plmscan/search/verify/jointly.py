"""Words that are needed together, on carriers that no selection saw."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.effects import measure
from plmscan.search.measure.fewest import without_one
from plmscan.search.measure.readings import Panel
from plmscan.statistics import rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.propose.together import Joint

__all__ = ["Jointly", "jointly"]

_NULL = 24
"""Random choices of as many words of the pool."""


@dataclass(frozen=True)
class Jointly:
    """What words do together that they do not do otherwise."""

    ids: tuple[int, ...]
    """Token ids."""
    target: int
    """The label to which they push."""
    push: float
    """Mean push of carriers that argue against it, in honest leads."""
    gap: float
    """That less the most that all but one of them do, or any other words of the pool."""
    turned: float
    """Share of ordinary carriers of other labels that they turn."""
    z: float
    """Robust z of the push among other words of the pool."""
    p_value: float
    """Rank p-value among the same."""
    null_size: int
    """How many choices of other words."""
    location: Location
    """Where their scatter is lowest."""
    displacement: float
    """D there."""
    scatter: float
    """S there."""


def jointly(
    model: LoadedModel,
    joints: Sequence[Joint],
    arguing: Panel,
    ordinary: Sequence[Carrier],
    budget: Budget,
) -> tuple[Jointly, ...]:
    """Each of ``joints`` on carriers that are ``arguing`` against its label, and ``ordinary`` ones.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    if not joints:
        return ()
    plain = Panel.of(model, ordinary)
    return tuple(_measured(model, one, arguing, plain, budget) for one in joints)


def _measured(
    model: LoadedModel, one: Joint, arguing: Panel, ordinary: Panel, budget: Budget
) -> Jointly:
    """One of them."""
    rng = random.Random(budget.seed)  # noqa: S311 - reproducible, not secret
    null = [tuple(rng.sample(one.pool, len(one.words))) for _ in range(_NULL)]
    rests, note = without_one(one.words), "words that are needed together"
    panel = arguing.pick(arguing.against(one.target))
    found = measure(model, [one.words, *rests, *null], panel, budget, note)
    turned = measure(model, [one.words], ordinary, budget, note).turned()
    pushes = torch.zeros(0) if found.push is None else found.push[..., one.target].nanmean(-1)
    own, others = pushes[:1], pushes[1 + len(rests) :]
    displacement, scatter = found.points()[0].tolist()
    return Jointly(
        ids=one.words,
        target=one.target,
        push=float(own),
        gap=float(own - pushes[1:].max()),
        turned=float(turned[0, one.target]),
        z=float(robust_z(own, others)),
        p_value=float(rank_p_values(own, others)),
        null_size=_NULL,
        location=found.best_location()[0],
        displacement=displacement,
        scatter=scatter,
    )
