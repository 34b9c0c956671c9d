"""What sentence-transformers makes of a text as a whole: its states, pooled, and through layers.

Where each part behind a Transformer is one that is known, what comes out at their end is a location
of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import nn

from plmscan.loading.features import POOLINGS
from plmscan.loading.traits import Location

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor

    from plmscan.layout import Module

__all__ = ["Behind", "Embedding"]

_AT_ONCE = 2**25
"""Numbers of the tokens of all texts that are read together."""
_PLACES: Mapping[str, Location] = MappingProxyType(
    {"cls": Location.CLS, "mean": Location.MEAN, "lasttoken": Location.LAST}
)
"""Where the vector of a mode is read anyhow."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """The way from the states of a text to its embedding."""

    modes: tuple[str, ...] = ("mean",)
    """How the states are pooled; the vectors of several modes stand side by side.  What keeps the
    vectors of all tokens is read at their mean."""
    skipped: int = 0
    """Tokens at the beginning of a text that the pooling leaves out."""
    before: nn.Sequential = field(default_factory=nn.Sequential)
    """What the state of each token passes through before."""
    after: nn.Sequential = field(default_factory=nn.Sequential)
    """What the pooled vector passes through."""
    widest: int = 1
    """Numbers that become of each token on the way."""

    def of(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """(b, d) embeddings of right-padded texts with last hidden states (b, n, h)."""
        rows = max(1, _AT_ONCE // (hidden.shape[1] * self.widest))
        parts = torch.split(hidden, rows)
        masks = [None] * len(parts) if mask is None else torch.split(mask, rows)
        return torch.cat([self._part(*both) for both in zip(parts, masks, strict=True)])

    def _part(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """The same of as many texts as memory holds."""
        states = self.before(hidden.float())
        pooled = [POOLINGS[mode](states, mask, self.skipped) for mode in self.modes]
        vectors: Tensor = self.after(torch.cat(pooled, dim=-1))
        return vectors

    def place(self, locations: Collection[Location]) -> Location:
        """Which of ``locations`` it is no more than; else its own."""
        changed = self.skipped or len(self.before) or len(self.after) or len(self.modes) > 1
        where = None if changed else _PLACES.get(self.modes[0])
        return where if where in locations and where is not None else Location.EMBEDDING


@dataclass(frozen=True)
class Behind:
    """What stands behind a Transformer."""

    embedding: Embedding | None = None
    """All of it; None where it is not read, or is no more than a location of the Transformer."""
    unread: Mapping[Module, str] = field(default_factory=dict)
    """Parts that cannot be read, for which the embedding is not either, and why."""
    place: Location | None = None
    """Where the embedding is; None where it is not read, or where nothing makes one."""

    def on(self, device: torch.device) -> Behind:
        """The same on ``device``, with weights that stay as they are."""
        if self.embedding is not None:
            for layers in (self.embedding.before, self.embedding.after):
                layers.to(device).eval().requires_grad_(requires_grad=False)
        return self
