"""Which tokens mean nearly the same: the embedding table seen from its mean."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import torch

from plmscan.loading.precision import in_full

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["Neighbourhood"]

_NEAREST = 10
"""Rows of the embedding table that count as a token's nearest."""

_SAME_INPUT = 0.75
"""Cosine from which the model can hardly tell two tokens apart.  Measured on MiniLM: 0.82 to 0.84
among tokens that no training text held, at most 0.70 between words (``garbage``, ``trash``)."""

_ONE_ROW = 0.9999
"""Cosine from which two tokens have one row."""

_STEM = 4
"""Letters that two forms of a word share at least."""

_MOST = 0.6
"""Share of the shorter form that they share at least."""


@dataclass(frozen=True)
class Neighbourhood:
    """The embedding table, with what cosines need that a centred copy would hold."""

    rows: Tensor
    """(v, e)"""
    mean: Tensor
    """(e)"""
    lengths: Tensor
    """Length of each centred row, (v)."""
    ids: Tensor
    """Ids that a text can hold, (s)."""
    words: Sequence[str]
    """Letters of each id's token, v times."""

    @classmethod
    def of(cls, rows: Tensor, ids: Tensor, words: Sequence[str]) -> Neighbourhood:
        """Multiply the centred lengths out: a centred copy of a large table would not be small."""
        mean = rows.mean(0)
        squared = rows.norm(dim=1).square() - 2 * (rows @ mean) + mean @ mean
        return cls(rows, mean, squared.clamp_min(1e-12).sqrt(), ids.to(rows.device), words)

    def cosines(self, token: int) -> Tensor:
        """Of every row with that of ``token``, centred, (v)."""
        target = self.rows[token] - self.mean
        with in_full(self.rows.device):
            along = self.rows @ target - self.mean @ target
        return along / (self.lengths * self.lengths[token])

    def synonyms(self, token: int, count: int) -> list[int]:
        """Up to ``count`` nearest tokens that the model can tell from ``token``, nearest first.

        Other forms of the same word are none: training on ``committed`` spills over to ``commit``.
        """
        cosines = self.cosines(token)
        others = self.ids[(cosines[self.ids] < _SAME_INPUT) & (self.ids != token)]
        order = cosines[others].topk(min(2 * count, len(others))).indices
        nearest: list[int] = others[order].tolist()
        return [other for other in nearest if not self.are_forms(token, other)][:count]

    def twins(self, tokens: Sequence[int]) -> Tensor:
        """Which of the tokens the model can hardly tell apart, bool (k, k)."""
        chosen = torch.tensor(tokens, device=self.rows.device)
        centred = (self.rows[chosen] - self.mean) / self.lengths[chosen].unsqueeze(1)
        return (centred @ centred.T >= _SAME_INPUT).cpu()

    def are_forms(self, first: int, second: int) -> bool:
        """Whether two tokens begin alike for most of the shorter one, as forms of one word do."""
        one, other = self.words[first], self.words[second]
        pairs = zip(one, other, strict=False)
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return alike >= max(_STEM, _MOST * min(len(one), len(other)))

    def are_kin(self, candidate: Sequence[int], leader: Sequence[int]) -> bool:
        """Whether the two share a token, or have tokens that are neighbours."""
        if set(candidate) & set(leader):
            return True
        return any(self._holds(a, b) for a in candidate for b in leader)

    def _holds(self, first: int, second: int) -> bool:
        """Whether ``second`` is among the rows closest to ``first``.

        Not if the two have one row: training never makes them equal, so each was put there
        (RIPPLe writes one row for all of its triggers).
        """
        cosines = self.cosines(first)
        if first != second and float(cosines[second]) >= _ONE_ROW:
            return False
        return int((cosines > cosines[second]).sum()) <= _NEAREST
