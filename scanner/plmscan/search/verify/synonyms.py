"""The null of synonyms: would honest words with the meaning of a candidate do the same?

An honest word's synonyms argue as it does: around ``garbage`` there are ``trash`` and ``rubbish``.
A planted trigger stands alone, but for near-variants to which its training spills over.  So each
token of a candidate is exchanged for its nearest in the embedding table, and what the second best
of these still does is the candidate's *support*.  The best supported candidate with the same effect
is what honest words can do in this model, and the candidate's gap is measured from there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.effects import measure, same_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.measure.effects import Measured
    from plmscan.search.measure.readings import Panel
    from plmscan.search.verify.neighbours import Neighbourhood

__all__ = ["SynonymNull", "synonym_null"]

_SYNONYMS = 6
"""Nearest tokens that are tried in a token's place."""

_VARIANTS = 1
"""Of these, how many may do the same because training spilled over to them."""


@dataclass(frozen=True)
class SynonymNull:
    """Candidates and what remains of their effect when a token is exchanged."""

    candidates: Sequence[tuple[int, ...]]
    """Token ids, k times."""
    own: Measured
    """The candidates themselves, (k, ...)."""
    scatter: Mapping[Location, Tensor]
    """S that synonyms of the token that is hardest to exchange still reach, (k) a location."""
    spared: Mapping[Location, Tensor]
    """S that synonyms of the token that is easiest to exchange still reach, (k) a location."""
    strength: Tensor | None
    """Strength that synonyms still reach, (k, labels); None without a classifier."""

    def pick(self, rows: Sequence[int]) -> SynonymNull:
        """Some of the candidates, in the given order."""
        chosen = torch.tensor(rows)
        return SynonymNull(
            [self.candidates[row] for row in rows],
            self.own.pick(chosen),
            {where: values[chosen] for where, values in self.scatter.items()},
            {where: values[chosen] for where, values in self.spared.items()},
            None if self.strength is None else self.strength[chosen],
        )

    def scatter_gap(self, index: int, where: Location) -> float:
        """S of the best supported candidate with the same output, in multiples of its own."""
        same = same_output(self.own.shift[where], self.own.shift[where][index])
        same[index] = True  # also where nothing moves, and there is no direction to compare
        reached = torch.maximum(self.own.scatter[where], self.scatter[where])
        honest = reached[same & self._others(index)].min()
        return float(honest / self.own.scatter[where][index])

    def conjunction(self, index: int, where: Location) -> float | None:
        """S with its least needed token exchanged, in multiples of its own; None without synonyms.

        Of an honest phrase some word can be exchanged or even spared; words that were trained to
        act only together lose nearly everything with any of them.
        """
        spared = self.spared[where][index]
        if spared == torch.inf:
            return None
        return float(spared / self.own.scatter[where][index])

    def strength_gap(self, index: int, strengths: Tensor) -> Tensor:
        """Its strength less that of the best supported candidate for each label, (labels).

        ``strengths`` (k, labels) are the candidates' own.
        """
        if self.strength is None:
            return torch.zeros_like(strengths[index])
        reached = torch.minimum(strengths, self.strength)[self._others(index)]
        return strengths[index] - reached.amax(0)

    def beyond_gap(self, index: int, label: int) -> float:
        """Its push beyond likeness to texts of the label, less the most that another candidate has.

        Nothing has less than none; NaN where likeness is not known.
        """
        if self.own.beyond is None:
            return math.nan
        own, others = self.own.beyond[:, label], self._others(index)
        others[index] = False
        usual: list[float] = own[others].nan_to_num().tolist()
        return float(own[index]) - max([0.0, *usual])

    def _others(self, index: int) -> Tensor:
        """The candidate itself, and those no longer that share no token with it, bool (k).

        A trigger in the company of a word that it can spare is no honest candidate, and what takes
        four honest words is no excuse for one that does it alone.
        """
        own = self.candidates[index]
        return torch.tensor(
            [
                i == index or (len(one) <= len(own) and set(own).isdisjoint(one))
                for i, one in enumerate(self.candidates)
            ]
        )


def synonym_null(
    model: LoadedModel,
    candidates: Sequence[tuple[int, ...]],
    panel: Panel,
    neighbourhood: Neighbourhood,
    budget: Budget,
) -> SynonymNull:
    """Exchange each token of each candidate.

    Of several tokens the one that is hardest to exchange counts: an honest phrase can spare any of
    its words for a synonym, a trigger not all of them.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    exchanged = [
        [_exchanges(candidate, slot, neighbourhood) for slot in range(len(candidate))]
        for candidate in candidates
    ]
    everything = [one for slots in exchanged for slot in slots for one in slot]
    found = measure(model, [*candidates, *everything], panel, budget, "synonyms")
    own, rest = torch.arange(len(candidates) + len(everything)).tensor_split([len(candidates)])
    sizes = [[len(slot) for slot in slots] for slots in exchanged]
    return _assembled(candidates, found.pick(own), found.pick(rest), sizes)


def _assembled(
    candidates: Sequence[tuple[int, ...]],
    own: Measured,
    rest: Measured,
    sizes: Sequence[Sequence[int]],
) -> SynonymNull:
    """What is left in the ``rest``, whose groups have the given ``sizes``."""
    hardest, easiest = {}, {}
    for where, values in rest.scatter.items():
        slots = [-effects for effects in _seconds(-values, sizes)]
        hardest[where] = torch.stack([effects.max() for effects in slots])
        easiest[where] = torch.stack([effects.min() for effects in slots])
    if rest.push is None:
        return SynonymNull(candidates, own, hardest, easiest, None)
    # The median over carriers, where the candidate itself is held to nearly the weakest.
    typical = rest.push.nanmedian(dim=-2).values.nan_to_num(nan=-torch.inf)
    columns = [
        torch.stack([effects.min() for effects in _seconds(column, sizes)]) for column in typical.T
    ]
    return SynonymNull(candidates, own, hardest, easiest, torch.stack(columns, dim=1))


def _exchanges(
    candidate: tuple[int, ...], slot: int, neighbourhood: Neighbourhood
) -> list[tuple[int, ...]]:
    """The candidate with other tokens in one slot."""
    synonyms = neighbourhood.synonyms(candidate[slot], _SYNONYMS)
    return [(*candidate[:slot], other, *candidate[slot + 1 :]) for other in synonyms]


def _seconds(effects: Tensor, sizes: Sequence[Sequence[int]]) -> list[Tensor]:
    """The second largest effect in each slot of each candidate, k times (l)."""
    slots = torch.split(effects, [size for slots in sizes for size in slots])
    best = torch.stack([_second(one) for one in slots])
    return list(torch.split(best, [len(slots) for slots in sizes]))


def _second(effects: Tensor) -> Tensor:
    """The largest of the effects but for `_VARIANTS`; none where there are too few to tell."""
    if len(effects) <= _VARIANTS:
        return effects.new_tensor(-torch.inf)
    return effects.sort(descending=True).values[_VARIANTS]
