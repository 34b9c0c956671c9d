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

from plmscan.search.measure.readings import Reading, gradients, read
from plmscan.search.propose.losses import hotflip_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.measure.readings import Panel
    from plmscan.search.propose.objectives import Objective

__all__ = ["LONGEST", "Grower"]

LONGEST = 4
"""Tokens of the longest candidate."""

_BEAM = 2
"""Candidates of one length that are extended: so many with the highest score, and as many that
gained most."""

_PROPOSALS = 8
"""Tokens that the gradient proposes for a slot."""

_FIRST = 5
"""Of its proposals for an empty text, how many are extended whatever they score alone: the parts of
a trigger that was trained to need all of them hardly show, and the gradient points to them."""

_PROMISING = 0.25
"""Share of the candidates that is read in all carriers: so many that score highest in the first
half of them, and as many that gained most there.  What all carriers choose was within the first
14 % for invariance and 22 % for labels (two of five carriers, six models)."""

_TOGETHER = 2
"""Gaps of one backward pass; four are no faster, and take 174 MB more at the size of BERT base."""

Gap = tuple[tuple[int, ...], int]
"""A candidate, and before which of its tokens another one may come."""


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
    """Carriers of the forward passes, which decide."""
    guide: Panel
    """Carriers of the gradient, which proposes; more of them, since it costs little."""
    fillers: Sequence[int]
    """What fills an empty slot in each of the guide's carriers, while its gradient is taken: random
    tokens, over which the gradients of one context average out."""
    price: float
    """What each token has to gain when it joins."""
    worth: float
    """What each has to be worth at the end; more, since what joins later may do its work."""

    def grow(self, seeds: Sequence[tuple[int, ...]], budget: Budget) -> list[tuple[int, ...]]:
        """Candidates of two to four tokens, the best first, cut back to what they need.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        beam = self._first(seeds)
        alone, grown = dict(beam), dict[tuple[int, ...], float]()
        for length in range(2, LONGEST + 1):
            budget.checkpoint((length - 2) / (LONGEST - 1), "growing")
            beam = self._improved(self._extensions(beam, seeds, alone))
            if not beam:
                break
            grown |= beam
        best = sorted(grown, key=lambda candidate: -grown[candidate])
        return list(dict.fromkeys(self.pruned(candidate) for candidate in best))

    def score(self, candidates: Sequence[tuple[int, ...]]) -> list[float]:
        """Of each candidate, in their order."""
        if not candidates:
            return []
        with torch.no_grad():
            dirty = read(self.model, candidates, self.panel.carriers)
            found: list[float] = self.objective(dirty, self.panel.clean).tolist()
        return found

    def proposals(self, gaps: Sequence[Gap]) -> list[list[int]]:
        """Tokens that the gradient proposes for each gap, best first.

        The candidates of all ``gaps`` have the same length.
        """
        parts = [self._gradient(gaps[i : i + _TOGETHER]) for i in range(0, len(gaps), _TOGETHER)]
        # To score the whole table is cheaper than to copy the rows that count.
        scores = hotflip_scores(-torch.cat(parts), self.model.embedding_weight)[:, self.ids]
        best = scores.topk(min(_PROPOSALS, len(self.ids))).indices.cpu()
        proposed: list[list[int]] = self.ids[best].tolist()
        return proposed

    def pruned(self, candidate: tuple[int, ...]) -> tuple[int, ...]:
        """The candidate without the tokens that it can spare.

        Tokens are dropped one by one, the least missed first, as long as the score falls by less
        than a token is worth or the rest suffices by itself.
        """
        (best,) = self.score([candidate])
        while len(candidate) > 1:
            shorter = [candidate[:i] + candidate[i + 1 :] for i in range(len(candidate))]
            scores = self.score(shorter)
            if max(scores) < min(best - self.worth, self.objective.enough):
                break
            candidate = shorter[scores.index(max(scores))]
        return candidate

    def _first(self, seeds: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
        """The best seeds and the gradient's first proposals, with their scores."""
        scores = dict(zip(seeds, self.score(seeds), strict=True))
        best = sorted(seeds, key=lambda seed: -scores[seed])[: 2 * _BEAM]
        proposed = [(token,) for token in self.proposals([((), 0)])[0][:_FIRST]]
        scores |= zip(proposed, self.score(proposed), strict=True)
        return {one: scores[one] for one in (*best, *proposed)}

    def _extensions(
        self,
        beam: dict[tuple[int, ...], float],
        seeds: Sequence[tuple[int, ...]],
        alone: dict[tuple[int, ...], float],
    ) -> dict[tuple[int, ...], float]:
        """Candidates one token longer, with the best score of what they join.

        ``alone`` holds the scores of single tokens, and gets those of new ones.
        """
        gaps = [(candidate, slot) for candidate in beam for slot in range(len(candidate) + 1)]
        joins = [
            (candidate, slot, new)
            for (candidate, slot), tokens in zip(gaps, self.proposals(gaps), strict=True)
            for new in (*((token,) for token in tokens), *seeds)
            if new[0] not in candidate  # twice the same says nothing new, only louder
        ]
        unknown = [new for new in dict.fromkeys(new for *_, new in joins) if new not in alone]
        alone |= zip(unknown, self.score(unknown), strict=True)
        return {
            (*candidate[:slot], *new, *candidate[slot:]): max(beam[candidate], alone[new])
            for candidate, slot, new in joins
        }

    def _improved(self, before: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], float]:
        """The best that score the price more than what they join, with their scores."""
        scores = self.halved(before)
        better = [one for one, value in scores.items() if value >= before[one] + self.price]
        return {one: scores[one] for one in _leading(better, scores, before, _BEAM)}

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
        count = max(_BEAM, math.ceil(_PROMISING * len(candidates)))
        kept = _leading(candidates, guessed, before, count)
        places = {one: place for place, one in enumerate(candidates)}
        late = read(self.model, kept, self.panel.carriers[half:])
        parts = [early.at([places[one] for one in kept]), late]
        whole = Reading.joined(parts, lambda tensors: torch.cat(tensors, dim=1))
        return dict(zip(kept, self.objective(whole, self.panel.clean).tolist(), strict=True))

    def _gradient(self, gaps: Sequence[Gap]) -> Tensor:
        """Of the objective at the input of a new token in each gap, over all carriers, (g, e)."""
        filled = [
            [(*candidate[:slot], filler, *candidate[slot:]) for filler in self.fillers]
            for candidate, slot in gaps
        ]

        def value(dirty: Reading) -> Tensor:
            return self.objective(dirty, self.guide.clean).sum()

        found = gradients(self.model, filled, self.guide.carriers, value)
        return found[torch.arange(len(gaps)), [slot for _, slot in gaps]]


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
