"""One trigger or several?  Candidates that lead to the same output are told apart.

Training spills over: around a planted ``lamp`` the model also answers to ``lamps``, and around a
planted ``mn``, more weakly, to ``nr``.  A candidate that drags the model to the output of a more
invariant one is measured against that one, its leader.  Where several triggers were planted, some
words go part of the way to two or three outputs at once, and reach none: they follow the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.search.measure.effects import same_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from plmscan.loading import Location
    from plmscan.search.measure.effects import Measured
    from plmscan.search.verify.neighbours import Neighbourhood

__all__ = ["Relation", "relate", "where_labels_tell"]

_TOWARDS = 0.6
"""Cosine with the shift of a leader from which a candidate that is far fainter follows it, wherever
it ends.  Measured: 0.62 to 0.69, on any carriers, between a trigger and what it spilled over to
together with others; triggers of one model come up to 0.64, and are not far fainter."""

_FAINTER = 12.0
"""Scatter in multiples of the leader's that is far fainter.  Measured: up to 8 among the triggers
of one model, 24 to 110 where they spilled over between their outputs."""


@dataclass(frozen=True)
class Relation:
    """How a candidate stands to the most invariant one with the same output."""

    leader: int
    """Index of that candidate; its own index if there is none."""
    echo: float
    """Scatter in multiples of the leader's; 1 for a leader."""
    kin: bool
    """Whether it is a near-variant of its leader: shared tokens, or neighbours in the embedding."""


def relate(
    candidates: Sequence[tuple[int, ...]],
    measured: Measured,
    places: Sequence[Location],
    neighbourhood: Neighbourhood,
) -> tuple[Relation, ...]:
    """Relation of every candidate at its own location (``places``), in the given order."""
    scatters = torch.stack([measured.scatter[p][i] for i, p in enumerate(places)])
    order = scatters.argsort(stable=True).tolist()
    relations: dict[int, Relation] = {}
    for place_in_order, index in enumerate(order):
        where = places[index]
        ahead = torch.tensor(order[:place_in_order], dtype=torch.long)
        shifts = measured.shift[where]
        same = ahead[same_output(shifts[ahead], shifts[index])].tolist()
        leader = relations[same[0]].leader if same else _nearest(measured, where, index, relations)
        ratio = float(measured.scatter[where][index] / measured.scatter[where][leader])
        kin = index != leader and neighbourhood.are_kin(candidates[index], candidates[leader])
        relations[index] = Relation(leader, max(1.0, ratio), kin)
    return tuple(relations[i] for i in range(len(candidates)))


def where_labels_tell(relations: Sequence[Relation], strength: Tensor) -> tuple[Relation, ...]:
    """The same where a text can keep its features while labels change.

    No candidate is kin of one that does not turn texts to its label (k, labels) as well.
    """
    best = strength.argmax(1).tolist()
    turns = (bool(strength[one.leader, best[i]] > 0) for i, one in enumerate(relations))
    both = zip(relations, turns, strict=True)
    return tuple(replace(one, kin=one.kin and turned) for one, turned in both)


def _nearest(
    measured: Measured, where: Location, index: int, relations: Mapping[int, Relation]
) -> int:
    """The leader so far towards whose output ``index`` faintly goes; itself without one."""
    scatter, shifts = measured.scatter[where], measured.shift[where]
    leaders = [i for i, relation in relations.items() if relation.leader == i]
    stronger = [i for i in leaders if scatter[index] >= _FAINTER * scatter[i]]
    if not stronger:
        return index
    cosines = F.cosine_similarity(shifts[stronger], shifts[index], dim=-1)
    nearest = int(cosines.argmax())
    return stronger[nearest] if cosines[nearest] >= _TOWARDS else index
