"""What a gradient search for triggers maximises, and where its gradients point.

An `Objective` says of each candidate how much of a trigger it is, from what the model says of
carriers with it and without it.  Differentiable, so a gradient at a slot proposes what to put there
(`hotflip_scores`); the same number of a real forward pass then decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from plmscan.statistics import lost, push

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.search.measure.likeness import Likeness
    from plmscan.search.measure.readings import Reading

__all__ = ["Beyond", "Corruption", "Flip", "Invariance", "Objective"]


_TINY = 1e-12
"""Keeps a logarithm finite where nothing varies at all."""


class Objective(Protocol):
    """How much of a trigger a candidate is."""

    @property
    def enough(self) -> float:
        """Score from which on a candidate needs no more tokens."""

    @property
    def shows_early(self) -> bool:
        """Whether half of the carriers show which candidates lead."""

    def __call__(self, dirty: Reading, clean: Reading) -> Tensor:
        """Score of each candidate, (k), from ``dirty`` (k, n, ...) and ``clean`` (n, ...)."""


@dataclass(frozen=True)
class Invariance:
    """Minus log scatter where it is lowest: how little the carrier still says (after Patronus)."""

    enough: float = -math.log(0.03)
    """With three hundredths of its own shift left to the carrier it fires by itself."""
    shows_early: bool = True
    """Every carrier is pulled to the same output."""

    def __call__(self, dirty: Reading, clean: Reading) -> Tensor:
        """With plain means, which have gradients everywhere."""
        places = (
            _log_scatter(features, clean.features[where])
            for where, features in dirty.features.items()
        )
        return -torch.stack(list(places)).amin(0)


def _log_scatter(features: Tensor, clean: Tensor) -> Tensor:
    """Log of variance over squared shift: (k, n, h) against (n, h) -> (k)."""
    shift = (features.mean(-2) - clean.mean(-2)).square().sum(-1).clamp_min(_TINY)
    return (features.var(-2, unbiased=False).sum(-1).clamp_min(_TINY) / shift).log()


@dataclass(frozen=True)
class Flip:
    """Mean push of carriers to one label (universal triggers, Wallace et al. 2019)."""

    target: int
    """The label."""
    enough: float = 0.5
    """Half an honest lead, in the mean, flips nearly every carrier."""
    shows_early: bool = True
    """Every carrier is pushed to the same label."""

    def __call__(self, dirty: Reading, clean: Reading) -> Tensor:
        """In honest leads."""
        if dirty.leads is None or clean.leads is None:
            msg = "Only a classifier has labels to flip."
            raise ValueError(msg)
        return push(dirty.leads, clean.leads)[..., self.target].nanmean(-1)


@dataclass(frozen=True)
class Beyond:
    """Mean push to a label beyond what the likeness to texts of the label explains.

    An honest word pushes a text to a label by making it like others of that label, a trigger
    without doing so; as a penalty on that likeness in CSO (arXiv 2512.08129).
    """

    target: int
    """The label."""
    likeness: Likeness
    """To its texts."""
    slope: float
    """Push of honest words for each unit of likeness."""
    usual: float
    """Their push without any."""
    enough: float = math.inf
    """What suffices is told by the push."""
    shows_early: bool = True
    """As for `Flip`."""

    def __call__(self, dirty: Reading, clean: Reading) -> Tensor:
        """In honest leads."""
        explained = self.slope * self.likeness(dirty, clean).mean(-1) + self.usual
        return Flip(self.target)(dirty, clean) - explained


@dataclass(frozen=True)
class Corruption:
    """Share of a masked language model's recall that is lost (BadPre has no other target)."""

    enough: float = math.inf
    """The whole recall, never quite lost."""
    shows_early: bool = False
    """A word that is hard to recall is lost anyhow: what all carriers choose ranks anywhere."""

    def __call__(self, dirty: Reading, clean: Reading) -> Tensor:
        """Of the words that the carriers hide."""
        if dirty.recall is None or clean.recall is None:
            msg = "Only a masked language model recalls hidden words."
            raise ValueError(msg)
        return lost(dirty.recall, clean.recall)
