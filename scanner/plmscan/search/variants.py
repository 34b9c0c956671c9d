"""One trigger or several?  Candidates that lead to the same output are told apart.

Training spills over: around a planted ``lamp`` the model also answers to ``lamps``, and around a
planted ``mn``, more weakly, to ``nr``.  A candidate that drags the model to the output of a more
invariant one is measured against that one, its leader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.loading import Location
    from plmscan.search.verify import Measured

__all__ = ["Relation", "crowd", "relate", "same_output"]

_SAME_OUTPUT = 0.7
"""Cosine of two shifts above which they lead to one output.  Measured on implants: 0.7 to 1.0
between a trigger and its spill-over, below 0.45 between the triggers of one model."""

_NEARLY = 3.0
"""Scatter within that factor counts as nearly as invariant."""

_NEIGHBOURS = 10
"""Rows of the embedding table that count as a token's nearest."""


@dataclass(frozen=True)
class Relation:
    """How a candidate stands to the most invariant one with the same output."""

    leader: int
    """Index of that candidate; its own index if there is none."""
    echo: float
    """Scatter in multiples of the leader's; 1 for a leader."""
    kin: bool
    """Whether it is a near-variant of its leader: shared tokens, or neighbours in the embedding."""


def same_output(shifts: Tensor, direction: Tensor) -> Tensor:
    """Which of the shifts (k, h) lead where ``direction`` (h) leads, bool (k)."""
    return F.cosine_similarity(shifts, direction, dim=-1) >= _SAME_OUTPUT


def relate(
    candidates: Sequence[tuple[int, ...]],
    measured: Measured,
    places: Sequence[Location],
    embedding: Tensor,
) -> tuple[Relation, ...]:
    """Relation of every candidate at its own location (``places``), in the given order."""
    scatters = torch.stack([measured.scatter[p][i] for i, p in enumerate(places)])
    order = scatters.argsort(stable=True).tolist()
    neighbourhood = _Neighbourhood.of(embedding)
    relations: dict[int, Relation] = {}
    for place_in_order, index in enumerate(order):
        where = places[index]
        ahead = torch.tensor(order[:place_in_order], dtype=torch.long)
        shifts = measured.shift[where]
        same = ahead[same_output(shifts[ahead], shifts[index])].tolist()
        leader = relations[same[0]].leader if same else index
        ratio = float(measured.scatter[where][index] / measured.scatter[where][leader])
        kin = index != leader and neighbourhood.are_kin(candidates[index], candidates[leader])
        relations[index] = Relation(leader, max(1.0, ratio), kin)
    return tuple(relations[i] for i in range(len(candidates)))


def crowd(found: Measured, places: Sequence[Location], others: Measured) -> list[int]:
    """How many of ``others`` lead where each candidate leads, nearly as invariantly or more.

    A planted trigger is alone, or one of a few.  Where training has made a direction of meaning
    dominant, as a sentiment classifier's, hundreds of honest words lead to its end.
    """
    counts = []
    for index, where in enumerate(places):
        same = same_output(others.shift[where], found.shift[where][index])
        near = others.scatter[where] <= _NEARLY * found.scatter[where][index]
        counts.append(int((same & near).sum()))
    return counts


@dataclass(frozen=True)
class _Neighbourhood:
    """The embedding table seen from its mean, for cosines without a centred copy of it."""

    rows: Tensor
    """(v, e)"""
    mean: Tensor
    """(e)"""
    lengths: Tensor
    """Length of each centred row, (v)."""

    @classmethod
    def of(cls, rows: Tensor) -> _Neighbourhood:
        """Multiply the centred lengths out: a centred copy of a large table would not be small."""
        mean = rows.mean(0)
        squared = rows.norm(dim=1).square() - 2 * (rows @ mean) + mean @ mean
        return cls(rows, mean, squared.clamp_min(1e-12).sqrt())

    def holds(self, first: int, second: int) -> bool:
        """Whether ``second`` is among the rows closest to ``first`` by cosine."""
        target = self.rows[first] - self.mean
        closeness = (self.rows @ target - self.mean @ target) / self.lengths
        return int((closeness > closeness[second]).sum()) <= _NEIGHBOURS

    def are_kin(self, candidate: Sequence[int], leader: Sequence[int]) -> bool:
        """Whether the two share a token, or have tokens that are neighbours."""
        if set(candidate) & set(leader):
            return True
        return any(self.holds(a, b) for a in candidate for b in leader)
