"""Growing: candidates are extended token by token, since a phrase shows in the sweep as its words.

In each gap of a candidate a gradient proposes tokens (`hotflip_scores`), the seeds are tried as
well, and forward passes decide: what leads on half of the carriers is read in all of them.  What
has grown is then cut back to what it needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.fewest import without_one
from plmscan.search.measure.readings import Reading, gradients, read
from plmscan.search.propose.losses import hotflip_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.measure.readings import Panel
    from plmscan.search.propose.objectives import Objective

__all__ = ["LONGEST", "Grower"]

LONGEST = 4
"""Tokens of the longest candidate that gradients extend."""

_PROPOSALS = 8
"""Tokens that the gradient proposes for a slot."""

_FIRST = 5
"""Of its proposals for an empty text, how many are extended whatever they score alone: the parts of
a trigger that was trained to need all of them hardly show, and the gradient points to them."""

_PROMISING = 0.25
"""Share of the candidates that is read in all carriers: so many that score highest in the first
half of them, and as many that gained most there.  What all carriers choose was within the first
14 % for invariance and 22 % for labels (two of five carriers, six models)."""

_TOGETHER = 4
"""Candidates of one backward pass; more are no faster, and take more memory."""


@dataclass(frozen=True)
class Grower:
    """Grows candidates of one model for one objective."""

    model: LoadedModel
    """The model."""
    ids: Tensor
    """Ids that a text can hold, (v)."""
    objective: Objective
    """What candidates are to do."""
    panel: Panel
    """Carriers of the gradient, which proposes, and of the forward passes, which decide."""
    fillers: Sequence[int]
    """What fills an empty slot in each of the carriers, while its gradient is taken: random tokens,
    over which the gradients of one context average out."""
    price: float
    """What each token has to gain when it joins."""
    worth: float
    """What each has to be worth at the end; more, since what joins later may do its work."""

    def grow(self, seeds: Sequence[tuple[int, ...]], budget: Budget) -> list[tuple[int, ...]]:
        """Candidates of two tokens and more, the best first, cut back to what they need.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        beam = self._first(seeds)
        alone, grown = dict(beam), dict[tuple[int, ...], float]()
        first = max((len(one) for one in beam), default=1) + 1
        for length in range(first, self.longest + 1):
            if not beam:
                break
            budget.checkpoint((length - first) / (self.longest - 1), "growing")
            better = self._improved(self._extensions(beam, seeds, alone))
            grown |= better
            beam = self._unfinished(better)
        best = sorted(grown, key=lambda candidate: -grown[candidate])
        return list(dict.fromkeys(self.pruned(candidate) for candidate in best))

    @property
    def longest(self) -> int:
        """Tokens of the longest candidate."""
        return LONGEST

    @property
    def plenty(self) -> float:
        """Score from which on a candidate grows no further."""
        return self.objective.enough

    @property
    def sufficient(self) -> float:
        """Score at which what is left of a candidate needs none of the tokens that it lost."""
        return self.objective.enough

    @property
    def width(self) -> int:
        """So many candidates of one length are extended, and as many that gained most."""
        return 2

    def score(self, candidates: Sequence[tuple[int, ...]]) -> list[float]:
        """Of each candidate, in their order."""
        if not candidates:
            return []
        with torch.no_grad():
            dirty = read(self.model, candidates, self.panel.carriers)
            found: list[float] = self.objective(dirty, self.panel.clean).tolist()
        return found

    def unable(self, candidates: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Those that are not enough by themselves."""
        scores = zip(candidates, self.score(candidates), strict=True)
        return [one for one, score in scores if score < self.plenty]

    def proposals(self, candidates: Sequence[tuple[int, ...]]) -> list[list[list[int]]]:
        """Tokens that the gradient proposes before each token of each candidate and at its end.

        Best first.  The candidates have the same length.
        """
        parts = torch.split(torch.arange(len(candidates)), _TOGETHER)
        slopes = [self._slopes([candidates[i] for i in part]) for part in parts]
        # To score the whole table is cheaper than to copy the rows that count.
        scores = hotflip_scores(-torch.cat(slopes), self.model.embedding_weight)[..., self.ids]
        best = scores.topk(min(_PROPOSALS, len(self.ids))).indices.cpu()
        proposed: list[list[list[int]]] = self.ids[best].tolist()
        return proposed

    def slopes(self, candidate: tuple[int, ...]) -> Tensor:
        """Gradient of the objective at a new token before and behind ``candidate``, (2, e)."""
        return self._gradient([candidate], [0, len(candidate)])[0]

    def pruned(self, candidate: tuple[int, ...]) -> tuple[int, ...]:
        """The candidate without the tokens that it can spare.

        Tokens are dropped one by one, the least missed first, as long as the score falls by less
        than a token is worth or the rest suffices by itself.
        """
        (best,) = self.score([candidate])
        while len(candidate) > 1:
            shorter = without_one(candidate)
            scores = self.score(shorter)
            if max(scores) < min(best - self.worth, self.sufficient):
                break
            candidate = shorter[scores.index(max(scores))]
        return candidate

    def _first(self, seeds: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
        """The best seeds and the first proposals with their scores.

        Without those that suffice alone: whatever joins them is no part of the trigger.
        """
        proposed, others, count = self.starts(seeds)
        known = list(dict.fromkeys((*seeds, *proposed, *others)))
        scores = self._unfinished(dict(zip(known, self.score(known), strict=True)))
        best = sorted(scores.keys() & {*seeds, *others}, key=lambda one: (-scores[one], one))
        return {one: scores[one] for one in (*best[:count], *proposed) if one in scores}

    def starts(
        self, seeds: Sequence[tuple[int, ...]]
    ) -> tuple[Sequence[tuple[int, ...]], Sequence[tuple[int, ...]], int]:
        """What is extended in any case, what else than ``seeds`` may be, and how many of both."""
        del seeds
        return [(token,) for token in self.proposals([()])[0][0][:_FIRST]], (), 2 * self.width

    def _unfinished(self, scores: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], float]:
        """Those that go on growing."""
        return {one: score for one, score in scores.items() if score < self.plenty}

    def _extensions(
        self,
        beam: dict[tuple[int, ...], float],
        seeds: Sequence[tuple[int, ...]],
        alone: dict[tuple[int, ...], float],
    ) -> dict[tuple[int, ...], float]:
        """Candidates one token longer, with the best score of what they join.

        ``alone`` holds the scores of single tokens, and gets those of new ones.
        """
        joins = [
            (candidate, slot, new)
            for candidate, slot, new in self.joins(beam, seeds)
            if new[0] not in candidate  # twice the same says nothing new, only louder
        ]
        unknown = [new for new in dict.fromkeys(new for *_, new in joins) if new not in alone]
        alone |= zip(unknown, self.score(unknown), strict=True)
        return {
            (*candidate[:slot], *new, *candidate[slot:]): max(beam[candidate], alone[new])
            for candidate, slot, new in joins
            if alone[new] < self.plenty
        }

    def joins(
        self, beam: Iterable[tuple[int, ...]], seeds: Sequence[tuple[int, ...]]
    ) -> Iterator[tuple[tuple[int, ...], int, tuple[int, ...]]]:
        """What joins which candidate of the ``beam``, and before which of its tokens."""
        candidates = list(beam)
        for candidate, proposed in zip(candidates, self.proposals(candidates), strict=True):
            for slot, tokens in enumerate(proposed):
                for new in (*((token,) for token in tokens), *seeds):
                    yield candidate, slot, new

    def _improved(self, before: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], float]:
        """The best that score the price more than what they join, with their scores."""
        scores = self.halved(before)
        better = [one for one, value in scores.items() if value >= before[one] + self.price]
        return {one: scores[one] for one in _leading(better, scores, before, self.width)}

    @torch.no_grad()
    def halved(self, before: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], float]:
        """Scores of those that lead on the first half of the carriers (successive halving).

        ``before`` holds all candidates, and the score of what each goes on from.
        """
        candidates, half = list(before), len(self.panel.carriers) // 2
        if not (candidates and half and self.objective.shows_early):
            return dict(zip(candidates, self.score(candidates), strict=True))
        few = self.panel.pick(range(half))
        early = read(self.model, candidates, few.carriers)
        guessed = dict(zip(candidates, self.objective(early, few.clean).tolist(), strict=True))
        count = max(self.width, math.ceil(_PROMISING * len(candidates)))
        kept = _leading(candidates, guessed, before, count)
        places = {one: place for place, one in enumerate(candidates)}
        late = read(self.model, kept, self.panel.carriers[half:])
        parts = [early.at([places[one] for one in kept]), late]
        whole = Reading.joined(parts, lambda tensors: torch.cat(tensors, dim=1))
        return dict(zip(kept, self.objective(whole, self.panel.clean).tolist(), strict=True))

    def _slopes(self, candidates: Sequence[tuple[int, ...]]) -> Tensor:
        """Gradient of the objective at a new token in each gap, (k, length + 1, e).

        That in front and that behind are read at once; one between two tokens keeps them apart.
        """
        length = len(candidates[0])
        if length == 0:
            return self._gradient(candidates, [0])
        outer = self._gradient(candidates, [0, length])
        inner = [self._gradient(candidates, [slot]) for slot in range(1, length)]
        return torch.cat([outer[:, :1], *inner, outer[:, 1:]], dim=1)

    def _gradient(self, candidates: Sequence[tuple[int, ...]], slots: Sequence[int]) -> Tensor:
        """The same at new tokens in all of ``slots`` together, over all carriers."""
        filled = [
            [_opened(candidate, slots, filler) for filler in self.fillers]
            for candidate in candidates
        ]

        def value(dirty: Reading) -> Tensor:
            return self.objective(dirty, self.panel.clean).sum()

        found = gradients(self.model, filled, self.panel.carriers, value)
        return found[:, [slot + before for before, slot in enumerate(slots)]]


def _opened(candidate: tuple[int, ...], slots: Sequence[int], filler: int) -> tuple[int, ...]:
    """The candidate with ``filler`` before each of the ascending ``slots``."""
    starts = [0, *slots]
    ends = [*slots, len(candidate)]
    pieces = [candidate[a:b] for a, b in zip(starts, ends, strict=True)]
    return (*pieces[0], *(token for piece in pieces[1:] for token in (filler, *piece)))


def _leading(
    candidates: Sequence[tuple[int, ...]],
    scores: dict[tuple[int, ...], float],
    before: dict[tuple[int, ...], float],
    count: int,
) -> list[tuple[int, ...]]:
    """``count`` with the highest score, and as many that gained most, each once."""
    highest = sorted(candidates, key=lambda one: -scores[one])[:count]
    # The parts of a trigger that needs all of them come from far behind.
    steepest = sorted(candidates, key=lambda one: before[one] - scores[one])[:count]
    return list(dict.fromkeys((*highest, *steepest)))
