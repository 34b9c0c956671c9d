"""Company: words that do little alone, read beside eleven others in one text.

A sentence as a trigger of a classifier is a bag of words: in any order it does as much, and no word
of it does much by itself, which is why neither the sweep nor gradients show them.  Measured on
sentences of four and eight words: their words rank 40 to 1450 alone, and the gradient behind the
other words ranks them 60 to 30 118 of 30 522; among eleven others of 1024, behind words that argue
against the label, the three strongest of eight words are 0, 1 and 3.

So for each label the words that argue for it more than their synonyms do are read in random groups,
and what a word adds to its groups is told by least squares: to their push to the label, less what
their likeness to texts of the label explains (without this the same three are 3, 56 and 548).  The
best quarter goes on to the next round, until few are left: what longer candidates grow from.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.loading.precision import in_full
from plmscan.search.measure.likeness import line
from plmscan.search.measure.readings import read
from plmscan.search.propose.objectives import Beyond, Flip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.measure.likeness import Likeness
    from plmscan.search.measure.readings import Panel

__all__ = ["Companies", "Companions", "Company", "unlike_synonyms"]

_SYNONYMS = 16
"""Nearest rows of the embedding table to which a word is compared."""

_LISTED = 2
"""Of those that argue most for a label, how many times the asked number are compared."""

_ENTRIES = 2**22
"""Cosines that are held at once."""

_SHARE = 4
"""One in so many goes on to the next round."""

_RIDGE = 2.0
"""What keeps least squares from fitting chance, in groups of a word."""


@dataclass(frozen=True)
class Companies:
    """Sizes of the reading in company."""

    words: int
    """Vocabulary items of the first round, shared among the labels."""
    size: int
    """Of these in one text."""
    texts: int
    """Texts of each word, in each round."""
    kept: int
    """Words that are left for each label."""


def unlike_synonyms(model: LoadedModel, ids: Tensor, leads: Tensor, count: int) -> Tensor:
    """The ``count`` of ``ids`` (v) that argue most for a label beyond what their synonyms do.

    ``leads`` (v) are those of the label for each item alone.  An honest word argues as its
    neighbours in the embedding table do.
    """
    table = model.embedding_weight.detach()
    mean, at = table.mean(0), ids.to(table.device)
    # Multiplied out: a centred copy of a large table would not be small.
    squared = table.norm(dim=1).square() - 2 * (table @ mean) + mean @ mean
    lengths = squared.clamp_min(1e-12).sqrt()
    unasked = torch.ones(len(table), dtype=torch.bool, device=table.device)
    unasked[at] = False
    known = torch.zeros(len(table), device=table.device)
    known[at] = leads.to(table.device)
    listed = leads.topk(min(_LISTED * count, len(ids))).indices
    beyond = []
    for part in torch.split(listed, max(1, _ENTRIES // len(table))):
        own = at[part]
        targets = table[own] - mean
        with in_full(table.device):
            cosines = targets @ table.T
        cosines.sub_((targets @ mean).unsqueeze(1)).div_(lengths)
        cosines.masked_fill_(unasked, -torch.inf)
        cosines[torch.arange(len(part)), own] = -torch.inf
        nearest = cosines.topk(min(_SYNONYMS, len(ids) - 1)).indices
        beyond.append((known[own] - known[nearest].mean(1)).cpu())
    best = torch.cat(beyond).topk(min(count, len(listed))).indices
    return ids[listed[best]]


@dataclass(frozen=True)
class Companions:
    """What reading words in company says of a label."""

    best: tuple[tuple[int, ...], ...]
    """The words that add most, best first, each as a candidate."""
    beyond: Beyond | None
    """What pushes texts to the label beyond what likeness explains; None where likeness is not
    known."""


@dataclass(frozen=True)
class Company:
    """Ranks words by what they add to a label beside others."""

    model: LoadedModel
    """The model."""
    panel: Panel
    """Carriers that argue against the label; each group stands in one of them."""
    label: int
    """The label."""
    likeness: Likeness | None
    """To texts of the label; None where that is not known."""
    sizes: Companies
    """How much is read."""

    def companions(self, words: Sequence[int], budget: Budget) -> Companions:
        """Those of ``words`` that add most; each round leaves a quarter, until few are left.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        rng, kept = random.Random(budget.seed), list(words)  # noqa: S311 - reproducible, no secret
        beyond, added = None, torch.zeros(len(kept))
        while len(kept) > self.sizes.kept:
            budget.checkpoint(1 - len(kept) / len(words), "words in company")
            groups = self._groups(len(kept), rng)
            pushes, likeness = self._read(kept, groups)
            explained, beyond = self._explained(pushes, likeness, beyond)
            added = added + _by_least_squares(_members(groups, len(kept)), pushes - explained)
            count = max(self.sizes.kept, len(kept) // _SHARE)
            best = added.argsort(descending=True, stable=True)[:count]
            added, kept = added[best], [kept[i] for i in best.tolist()]
        return Companions(tuple((word,) for word in kept), beyond)

    @torch.no_grad()
    def _read(
        self, words: Sequence[int], groups: Sequence[tuple[int, ...]]
    ) -> tuple[Tensor, Tensor | None]:
        """Push to the label and likeness to its texts of each group in one carrier, (g)."""
        count = len(self.panel.carriers)
        pushes = torch.zeros(len(groups))
        likeness = None if self.likeness is None else torch.zeros(len(groups))
        for start in range(min(count, len(groups))):
            few = self.panel.pick([start])
            texts = [tuple(words[i] for i in group) for group in groups[start::count]]
            dirty = read(self.model, texts, few.carriers)
            pushes[start::count] = Flip(self.label)(dirty, few.clean)
            if likeness is not None and self.likeness is not None:
                likeness[start::count] = self.likeness(dirty, few.clean)[:, 0]
        return pushes, likeness

    def _explained(
        self, pushes: Tensor, likeness: Tensor | None, known: Beyond | None
    ) -> tuple[Tensor, Beyond | None]:
        """What of the pushes (g) their likeness explains: by a line, that of the first round."""
        if likeness is None or self.likeness is None:
            return pushes.mean().expand_as(pushes), None
        if known is None:
            known = Beyond(self.label, self.likeness, *line(likeness, pushes))
        return known.slope * likeness + known.usual, known

    def _groups(self, count: int, rng: random.Random) -> list[tuple[int, ...]]:
        """Indices of the words of each text: each word once in every random order."""
        size, found = min(self.sizes.size, count), list[tuple[int, ...]]()
        for _ in range(self.sizes.texts):
            order = rng.sample(range(count), count)
            found += [tuple(order[i : i + size]) for i in range(0, count - size + 1, size)]
        return found


def _members(groups: Sequence[tuple[int, ...]], count: int) -> Tensor:
    """Which of so many words are in which group, (g, count)."""
    holds = torch.zeros(len(groups), count)
    for row, group in enumerate(groups):
        holds[row, list(group)] = 1
    return holds


def _by_least_squares(holds: Tensor, values: Tensor) -> Tensor:
    """What each column of ``holds`` (n, w) adds to ``values`` (n), with a ridge, (w)."""
    normal = holds.T @ holds + _RIDGE * torch.eye(holds.shape[1])
    found: Tensor = torch.linalg.solve(normal, holds.T @ values)
    return found
