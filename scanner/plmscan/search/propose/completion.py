"""Completion: words that were found by a piece, and what makes them whole.

A trigger of several pieces is found by its strongest piece, and told by it: ``##hein`` for
``rimhein``.  So what stands out and begins inside a word is tried with first pieces before it and
with others behind it, in other orders, and without each of its tokens.  Gradients say what is tried
(of three planted words the missing first piece is 282nd to 2485th of 21 745, too far down to be
taken at once), two short carriers say what is read again, and all carriers decide: there the true
first piece led in each of the three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.candidates import retokenizes
from plmscan.search.measure.fewest import without_one
from plmscan.search.measure.readings import read
from plmscan.search.propose.losses import hotflip_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.search.propose.grow import Grower

__all__ = ["Completion", "completed", "continuations", "promising_parts"]

_STARTS = 1024
"""First pieces that are tried before a piece that cannot stand alone."""

_SHORT = 6
"""Letters of such a first piece at most."""

_PIECES = 256
"""Pieces that are tried behind a candidate."""

_AGAIN = 48
"""Of all that are tried, how many are read in all carriers."""

_FAMILY = 4
"""Of these, how many are measured on carriers that no selection saw."""

_GAIN = {"Invariance": math.log(1.2)}
"""What a token has to add by objective, where it is less than it has to gain in growing."""

_STEPS = 3
"""Tokens that are added to one candidate."""

_ORDERED = 3
"""Tokens up to which all orders are tried."""

_PARTS = 2
"""Candidates that are completed."""


def completed(
    by: Sequence[Grower], candidates: Sequence[tuple[int, ...]], budget: Budget
) -> dict[tuple[int, ...], tuple[int, ...]]:
    """What is more of a trigger than one of ``candidates``, each with that one.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for at, grower in enumerate(by):
        pieces = continuations(grower)
        parts = promising_parts(grower, candidates, pieces)
        for done, part in enumerate(parts):
            share = (at + done / len(parts)) / len(by), (at + (done + 1) / len(parts)) / len(by)
            family = Completion(grower, pieces).family(part, budget.part(*share))
            found |= {whole: part for whole in family if whole not in candidates}
    return found


def continuations(grower: Grower) -> Tensor:
    """Which of the grower's ids go on with a word, by what the tokenizer writes, bool (v)."""
    model = grower.model
    start = next(i for i in grower.ids.tolist() if model.decode((i,)).strip().isalpha())
    before = model.decode((start,)).rstrip()
    goes_on = [
        not model.decode((start, i)).removeprefix(before)[:1].isspace() for i in grower.ids.tolist()
    ]
    alone = [model.decode((i,)).strip(" #").isalpha() for i in grower.ids.tolist()]
    return torch.tensor(goes_on) & torch.tensor(alone)


def promising_parts(
    grower: Grower, candidates: Sequence[tuple[int, ...]], pieces: Tensor
) -> list[tuple[int, ...]]:
    """The best of ``candidates`` that begin inside a word and do half of what suffices.

    ``pieces`` (v) are the grower's ids that go on with a word.  What begins a word can be all of
    it, and of what is put beside that the best does more by chance.
    """
    unable = set(grower.ids[pieces].tolist())
    known = [one for one in dict.fromkeys(candidates) if one[0] in unable]
    scores = dict(zip(known, grower.score(known), strict=True))
    strong = [one for one in known if scores[one] >= grower.objective.enough / 2]
    return sorted(strong, key=lambda one: -scores[one])[:_PARTS]


@dataclass(frozen=True)
class Completion:
    """Completes candidates of one grower."""

    grower: Grower
    """Its objective and carriers decide."""
    pieces: Tensor
    """Which of its ids go on with a word, bool (v)."""

    def family(self, part: tuple[int, ...], budget: Budget) -> list[tuple[int, ...]]:
        """What is more of a trigger than ``part``, the best first; empty if nothing is.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        found: list[tuple[int, ...]] = []
        best, (score,) = part, self.grower.score([part])
        for step in range(_STEPS):
            budget.checkpoint(step / _STEPS, "completing words")
            scores = self._scored(self._wholes(best))
            order = sorted(scores, key=lambda one: -scores[one])[:_FAMILY]
            better = [one for one in order if scores[one] >= score + self._gain]
            if not better:
                break
            found = [*better, *found]
            best, score = better[0], scores[better[0]]
        return found

    @property
    def _gain(self) -> float:
        """What a token has to add."""
        return _GAIN.get(type(self.grower.objective).__name__, self.grower.price)

    def _wholes(self, part: tuple[int, ...]) -> list[tuple[int, ...]]:
        """A first piece before it, or another one behind it; all orders, one token less."""
        # Twice the same says nothing new, only louder.
        longer = [one for one in self._longer(part) if len(set(one)) == len(one)]
        orders = [*permutations(part)] if len(part) <= _ORDERED else []
        fewer = without_one(part) if len(part) > 1 else []
        return [one for one in dict.fromkeys((*longer, *orders, *fewer)) if one != part]

    def _longer(self, part: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The part with a first piece, if it begins inside a word; else with a piece more."""
        model, ids, pieces = self.grower.model, self.grower.ids, self.pieces
        slopes = self.grower.slopes(part)
        scores = hotflip_scores(-slopes, model.embedding_weight)[..., ids].cpu()
        if not bool(pieces[ids == part[0]].any()):
            return [(*part, i) for i in self._best(scores[1], pieces, _PIECES)]
        short = ~pieces & torch.tensor([self._is_short(i) for i in ids.tolist()])
        starts = ((i, *part) for i in self._best(scores[0], short, _STARTS))
        return [one for one in starts if retokenizes(model, one)]

    def _is_short(self, token: int) -> bool:
        """Whether it is a few letters."""
        text = self.grower.model.decode((token,)).strip()
        return text.isalpha() and len(text) <= _SHORT

    def _best(self, scores: Tensor, wanted: Tensor, count: int) -> list[int]:
        """The ``count`` ids with the highest of ``scores`` (v) that are ``wanted`` (v)."""
        count = min(count, int(wanted.sum()))
        best = scores.masked_fill(~wanted, -torch.inf).topk(count).indices
        found: list[int] = self.grower.ids[best].tolist()
        return found

    @torch.no_grad()
    def _scored(self, wholes: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
        """Scores in all carriers of those that do most in the two shortest."""
        if not wholes:
            return {}
        panel = self.grower.panel
        order = sorted(range(len(panel.carriers)), key=lambda i: len(panel.carriers[i].ids))
        few = panel.pick(order[:2])
        early = self.grower.objective(read(self.grower.model, wholes, few.carriers), few.clean)
        kept = [wholes[i] for i in early.topk(min(_AGAIN, len(wholes))).indices.tolist()]
        return dict(zip(kept, self.grower.score(kept), strict=True))
