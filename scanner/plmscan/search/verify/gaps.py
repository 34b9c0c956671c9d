"""Gaps: how far the finalists are from what honest words with synonyms do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.effects import same_output
from plmscan.search.measure.selection import finalists
from plmscan.search.verify.synonyms import synonym_null

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.measure.readings import Panel
    from plmscan.search.verify.finals import Finals
    from plmscan.search.verify.neighbours import Neighbourhood

__all__ = ["SynonymGap", "synonym_gaps"]

_TRIED = 32
"""Finalists whose tokens may be exchanged for synonyms, and some more where there are labels."""

_COMPANY = 4
"""Of those, in a classifier so many with the same output as one that a rule may name, and so many
for the same label."""


@dataclass(frozen=True)
class SynonymGap:
    """How far a finalist is from what honest words do; None where that was not tried."""

    scatter: float | None = None
    """In multiples of its own scatter."""
    conjunction: float | None = None
    """How far it is from itself with its least needed token exchanged, in the same."""
    strength: float | None = None
    """For the label to which it pushes most."""
    beyond: float | None = None
    """Push to that label beyond what likeness to its texts tells, less that of honest words."""


def synonym_gaps(
    model: LoadedModel,
    finals: Finals,
    wanted: Sequence[int],
    panel: Panel,
    neighbourhood: Neighbourhood,
    budget: Budget,
) -> dict[int, SynonymGap]:
    """Of the best finalists of every kind, those that are ``wanted``, by index.

    They are tried beside their company: what honest words can do is what it says.
    """
    twins = neighbourhood.twins([one[0] for one in finals.ids])
    best = finalists(finals.measured, _TRIED, twins)
    asked = [i for i in best if i in wanted]
    if not asked:
        return {}
    company = {j for i in asked for j in _company(finals, i, best)}
    tried = [*asked, *(i for i in best if i in company.difference(asked))]
    listed = [*(finals.ids[i] for i in tried), *finals.honest]
    found = synonym_null(model, listed, panel, neighbourhood, budget)
    strengths = _strengths(finals.measured.strength, found.own.strength, tried)
    gaps, places = dict[int, SynonymGap](), finals.places
    for row, index in enumerate(asked):
        where = places[index]
        gap = SynonymGap(found.scatter_gap(row, where), found.conjunction(row, where))
        if strengths is not None:
            label = int(strengths[row].argmax())
            over = float(found.strength_gap(row, strengths)[label])
            gap = replace(gap, strength=_finite(over), beyond=_finite(found.beyond_gap(row, label)))
        gaps[index] = gap
    return gaps


def _finite(value: float) -> float | None:
    """The value, if it is one."""
    return value if math.isfinite(value) else None


def _company(finals: Finals, index: int, among: Sequence[int]) -> list[int]:
    """Those ``among`` the finalists that can be an honest counterpart of the one at ``index``.

    All with the same output; in a classifier, where a crowd of words leads to each label, the most
    invariant of them and the strongest for its label: what is weaker than all of these is not the
    best that an honest word can do.
    """
    measured, where = finals.measured, finals.places[index]
    others = torch.tensor([i for i in among if i != index], dtype=torch.long)
    shifts = measured.shift[where]
    alike = others[same_output(shifts[others], shifts[index])]
    if measured.strength is None:
        return alike.tolist()
    own = measured.strength[:, measured.strength[index].argmax()]
    strongest = others[own[others].argsort(descending=True, stable=True)[:_COMPANY]]
    invariant = alike[measured.scatter[where][alike].argsort(stable=True)[:_COMPANY]]
    return [*invariant.tolist(), *strongest.tolist()]


def _strengths(own: Tensor | None, there: Tensor | None, tried: Sequence[int]) -> Tensor | None:
    """Of the finalists ``tried``, and of the honest words behind them, (k, labels).

    Of the former it is known from the verification (``own``); the latter were measured only
    ``there``, where synonyms are tried.
    """
    if own is None or there is None:
        return None
    return torch.cat([own[tried], there[len(tried) :]])
