"""How far a student is from where it should be, in variances of clean text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from plmscan.loading import Location, Outputs

__all__ = ["Spread", "kept", "returned"]


@dataclass(frozen=True)
class Spread:
    """How much features of clean text vary, as the unit of every loss."""

    features: Mapping[Location, Tensor]
    """Mean variance of an entry at each location, each ()."""

    @classmethod
    def of(cls, features: Mapping[Location, Tensor]) -> Spread:
        """Of clean features, each (n, h)."""
        return cls({where: one.var(0).mean() for where, one in features.items()})

    def distance(self, student: Outputs, teacher: Outputs) -> Tensor:
        """Mean squared difference of the features (b, h), summed over locations: ()."""
        both = student.features.keys() & teacher.features.keys() & self.features.keys()
        parts = [
            (student.features[where] - teacher.features[where]).square().mean()
            / self.features[where]
            for where in sorted(both)
        ]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


def kept(student: Outputs, teacher: Outputs, mask: Tensor, spread: Spread) -> Tensor:
    """What clean text lost: its features, and every hidden state (b, n, h) under ``mask``: ().

    The hidden states keep what reads other tokens, such as a masked language model's head.
    """
    real = mask.bool()
    change = (student.hidden - teacher.hidden)[real].square().mean()
    usual = teacher.hidden[real].var(0).mean()
    return spread.distance(student, teacher) + change / usual


def returned(student: Outputs, teacher: Outputs, spread: Spread) -> Tensor:
    """How far text with a trigger is from what the teacher says of it without: ()."""
    return spread.distance(student, teacher)
