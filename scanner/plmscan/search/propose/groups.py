"""Group testing: pairs of words that act only together, found by reading many words in one text.

A trigger of two words that was trained to do nothing while one of them is missing shows in no sweep
and leaves no gradient to follow: with one word wrong, the other means nothing.  But it also fires
among other words, and a text of 48 words holds 1128 pairs.  So, as Dorfman (1943) pooled blood
samples, words are read in groups, and groups that are far out are taken apart.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.candidates import whole_words
from plmscan.search.measure.meetings import Design
from plmscan.search.sweep.distances import scored, survivors
from plmscan.search.sweep.shortest import whole_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.sweep.distances import Sweep

__all__ = ["GroupTest", "Grouping", "Paired", "paired"]

_FEW = 10
"""Words of a group that is taken apart into all its pairs."""

_REFERENCE = 4096
"""Groups from which the covariance of their size is estimated."""

_FAR_OUT = 32
"""Items of each ranking of the sweep that are not grouped: they act alone, in whatever company."""

_FAR_SHARE = 0.01
"""Share of a small vocabulary that they are at most."""

_FRAME = 8
"""Tokens around a group at most, but for words that argue."""


@dataclass(frozen=True)
class Grouping:
    """Sizes of a group test."""

    words: int
    """Words that are grouped at most, the first of the vocabulary: it is sorted by frequency.
    Where groups are read twice, 1.4 times fewer."""
    size: int
    """Words in one text; 4 divides it, and its halves until 10 or fewer are left.  Measured on a
    trained pair: of texts with 40 words 55 % are among the furthest 0.05 %, with 60 words 35 %."""
    opposed_size: int
    """The same behind words that argue against a label, where a trigger stands out further."""
    rivals: int
    """How many words argue."""
    kept: int
    """Pairs that each ranking passes on, and the smallest groups; twice as many of double size."""


@dataclass(frozen=True)
class Paired:
    """What came of a group test."""

    pairs: tuple[tuple[int, ...], ...] = ()
    """Pairs of words that act only together, in the order that does more, or in both."""
    words: int = 0
    """Words that were grouped; 0 if none were."""
    size: int = 0
    """Words in one text."""


def paired(
    model: LoadedModel,
    swept: Sweep,
    class_words: Sequence[Sequence[int]],
    grouping: Grouping,
    budget: Budget,
) -> Paired:
    """Pairs among the whole words of the vocabulary.

    In a classifier groups stand behind ``class_words`` of one label, and then behind those of
    another: so every label has to be reached against some other.  Read twice, the words are so many
    fewer that it costs the same.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    opposed = [tuple(words[: grouping.rivals]) for words in class_words[:2]] or [()]
    words = int(grouping.words / len(opposed) ** 0.5)
    design = _design(model, swept, replace(grouping, words=words), len(opposed[0]), budget.seed)
    if len(design.items) < 2:  # noqa: PLR2004 - a pair
        return Paired()
    found: list[tuple[int, ...]] = []
    for done, before in enumerate(opposed):
        part = budget.part(done / len(opposed), (done + 1) / len(opposed))
        found += GroupTest(model, before, grouping.kept).pairs(design, part)
    return Paired(tuple(dict.fromkeys(found)), len(design.items), design.size)


def _design(model: LoadedModel, swept: Sweep, grouping: Grouping, before: int, seed: int) -> Design:
    """Words in random order, so that chance decides which pairs do not meet.

    Groups are halved until they are smaller than their number, and fit the model behind as many
    tokens as stand ``before`` them; where they cannot, there are none.
    """
    words = whole_words(model, swept.ids)
    far_out = min(_FAR_OUT, int(_FAR_SHARE * len(swept.ids)))
    apart = words[~torch.isin(words, survivors(swept, far_out))][: grouping.words]
    order = torch.randperm(len(apart), generator=torch.Generator().manual_seed(seed))
    size = grouping.opposed_size if before else grouping.size
    room = (model.max_tokens or sys.maxsize) - before - _FRAME
    while size > _FEW and (size**2 > len(apart) or size > room):
        size //= 2
    return Design(apart[order] if size <= room else apart[:0], size)


@dataclass(frozen=True)
class GroupTest:
    """Finds pairs in groups of one design, behind the same words."""

    model: LoadedModel
    """The model."""
    before: tuple[int, ...]
    """What stands in front of every group."""
    kept: int
    """Pairs that each ranking passes on, and the smallest groups; twice as many of double size."""

    def pairs(self, design: Design, budget: Budget) -> list[tuple[int, ...]]:
        """Groups that are far out are halved until few words are left, and then paired.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        lines, most = torch.arange(design.rows**2), budget.part(0, 0.9)

        def texts(some: Tensor) -> Tensor:
            return self._texts(design.groups(some))

        found = scored(self.model, lines, texts, _REFERENCE, most, "groups of words")
        *halvings, last = _steps(design.size, budget)
        kept = self.kept * 2 ** len(halvings)
        groups = design.groups(_furthest(found, kept))
        for step in halvings:
            kept //= 2
            groups = _furthest(self._scored(_halves(groups), step), kept)
        places = permutations(range(groups.shape[1]), 2)
        pairs = torch.cat([groups[:, list(two)] for two in places])
        different = torch.unique(pairs[pairs[:, 0] != pairs[:, 1]], dim=0)
        return self._interplaying(different, last) if len(different) else []

    def _texts(self, groups: Tensor) -> Tensor:
        """Each of the groups (m, n) as the model reads it."""
        return whole_inputs(self.model, groups, self.before)

    def _scored(self, groups: Tensor, budget: Budget) -> Sweep:
        """How far out each of the groups (m, n) is."""
        return scored(self.model, groups, self._texts, _REFERENCE, budget, "pairs of words")

    def _interplaying(self, pairs: Tensor, budget: Budget) -> list[tuple[int, ...]]:
        """Of the pairs (m, 2) those that are further out than both of their words twice.

        One strong word is as far out in any company, and two honest ones add up.
        """
        words, back = torch.unique(pairs, return_inverse=True)
        both = torch.cat([pairs, words.unsqueeze(1).expand(-1, 2)])
        scores = _rankings(self._scored(both, budget))
        together, twice = scores[:, : len(pairs)], scores[:, len(pairs) :]
        best = (together - twice[:, back].amax(-1)).topk(min(self.kept, len(pairs)), dim=1)
        chosen = torch.unique(best.indices[best.values > 0])
        return [tuple(pair) for pair in pairs[chosen].tolist()]


def _steps(size: int, budget: Budget) -> list[Budget]:
    """The last tenth of the ``budget``: a part for each halving of ``size``, and for the pairs."""
    steps = 1 + max(0, math.ceil(math.log2(size / _FEW)))
    rest = budget.part(0.9, 1)
    return [rest.part(i / steps, (i + 1) / steps) for i in range(steps)]


def _rankings(found: Sweep) -> Tensor:
    """Every score by which a group can be far out, (r, m)."""
    labels = () if found.leads is None else found.leads.T
    return torch.stack([*found.rankings(), *labels])


def _furthest(found: Sweep, count: int) -> Tensor:
    """What was scored and is among the ``count`` furthest of some ranking, each once."""
    best = _rankings(found).topk(min(count, len(found.ids)), dim=1).indices
    return found.ids[torch.unique(best)]


def _halves(groups: Tensor) -> Tensor:
    """Two quarters of each group at a time, (m, n) -> (6 m, n / 2): every pair stays in one."""
    quarters = groups.chunk(4, dim=1)
    return torch.cat([torch.cat(two, dim=1) for two in combinations(quarters, 2)])
