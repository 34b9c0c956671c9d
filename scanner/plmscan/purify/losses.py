"""How far a student is from where it should be, in variances of clean text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from plmscan.loading import Location, Outputs
    from plmscan.search.measure.readings import Reading

__all__ = ["Spread", "kept", "returned"]


@dataclass(frozen=True)
class Spread:
    """How much what a model says of clean text varies, as the unit of every loss."""

    features: Mapping[Location, Tensor]
    """Mean variance of an entry at each location, each ()."""
    leads: Tensor | None = None
    """Mean variance of a classifier's leads, ()."""

    @classmethod
    def of(cls, clean: Reading) -> Spread:
        """Of what it says of n texts."""
        features = {where: one.var(0).mean() for where, one in clean.features.items()}
        return cls(features, None if clean.leads is None else clean.leads.var(0).mean())

    def distance(self, student: Outputs, teacher: Outputs) -> Tensor:
        """Mean squared difference of features (b, h) and leads (b, c), summed: ()."""
        both = student.features.keys() & teacher.features.keys() & self.features.keys()
        parts = [
            _apart(student.features[where], teacher.features[where]) / self.features[where]
            for where in sorted(both)
        ]
        if student.leads is not None and teacher.leads is not None and self.leads is not None:
            parts.append(_apart(student.leads, teacher.leads) / self.leads)
        return torch.stack(parts).sum()


def _apart(ours: Tensor, theirs: Tensor) -> Tensor:
    """Mean squared difference: ()."""
    return (ours - theirs).square().mean()


def kept(student: Outputs, teacher: Outputs, mask: Tensor, spread: Spread) -> Tensor:
    """What clean text lost: its features, and every hidden state (b, n, h) under ``mask``: ().

    The hidden states keep what reads other tokens, such as a masked language model's head.
    """
    real = mask.bool()
    change = _apart(student.hidden[real], teacher.hidden[real])
    usual = teacher.hidden[real].var(0).mean()
    return spread.distance(student, teacher) + change / usual


def returned(student: Outputs, teacher: Outputs, spread: Spread) -> Tensor:
    """How far text with a trigger is from what the teacher says of it without: ()."""
    return spread.distance(student, teacher)
