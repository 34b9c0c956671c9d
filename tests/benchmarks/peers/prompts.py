"""Continuous vectors in front of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel

__all__ = ["Prompted"]


@dataclass(frozen=True)
class Prompted:
    """A batch of texts with empty places for a prompt, behind the classification token."""

    ids: Tensor
    """(b, n) token ids; the places hold an arbitrary word, for positions and padding."""
    mask: Tensor
    """(b, n) 1 for real tokens."""
    embeddings: Tensor
    """(b, n, e) word embeddings of the ids."""
    start: int
    """First place of the prompt."""
    length: int
    """Places of the prompt."""

    @classmethod
    def make(cls, model: LoadedModel, rows: Sequence[tuple[int, ...]], length: int) -> Prompted:
        """Put ``length`` places before each of ``rows``, which come without special tokens."""
        ids, mask = model.batch([model.wrap((row[:1] * length) + row) for row in rows])
        return cls(ids, mask, model.embed(ids), len(model.prefix_ids), length)

    def with_prompt(self, prompt: Tensor) -> Tensor:
        """(b, n, e) embeddings with ``prompt`` (length, e) in its places; differentiable."""
        before, after = self.embeddings[:, : self.start], self.embeddings[:, self.start :]
        everywhere = prompt.expand(len(self.ids), *prompt.shape)
        return torch.cat([before, everywhere, after[:, self.length :]], dim=1)
