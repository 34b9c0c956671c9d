"""Likeness: how much like texts of a label a text is, and what a push to the label has beyond it.

An honest word pushes a text to a label by making it like others of that label; words that were
planted push it without doing so (as a penalty on that likeness in CSO, arXiv 2512.08129).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.loading import Location
from plmscan.statistics import honest_leads

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.search.measure.readings import Reading

__all__ = ["Likeness", "beyond", "line"]

_TINY = 1e-12
"""Keeps a direction finite where texts of two labels are the same."""


@dataclass(frozen=True)
class Likeness:
    """How much like a text of a label another one is, in the mean of its tokens."""

    where: Location
    """Where that is read."""
    direction: Tensor
    """From texts without the label to such with it; along it they are 1 apart, (h)."""

    @classmethod
    def of(cls, clean: Reading, label: int) -> Likeness | None:
        """By carriers with the label and without it; None if either are missing."""
        leads, where = clean.leads, Location.MEAN
        if leads is None or where not in clean.features:
            return None
        has, features = leads[:, label] > 0, clean.features[where]
        if bool(has.all()) or not bool(has.any()):
            return None
        between = features[has].mean(0) - features[~has].mean(0)
        return cls(where, between / between.square().sum().clamp_min(_TINY))

    def __call__(self, dirty: Reading, clean: Reading) -> Tensor:
        """Of each candidate in each carrier, beyond the carrier itself, (k, n)."""
        return (dirty.features[self.where] - clean.features[self.where]) @ self.direction

    def place(self, texts: Reading) -> Tensor:
        """Of each text by itself, (..., n) from features (..., n, h)."""
        return texts.features[self.where] @ self.direction


def line(likeness: Tensor, pushes: Tensor) -> tuple[float, float]:
    """Slope and offset by which ``pushes`` (n) follow from ``likeness`` (n), by least squares."""
    columns = torch.stack([likeness, torch.ones_like(likeness)], dim=1)
    slope, offset = torch.linalg.lstsq(columns, pushes.unsqueeze(1)).solution.flatten().tolist()
    return slope, offset


def beyond(pushes: Tensor, dirty: Reading, clean: Reading) -> Tensor:
    """Median push of each candidate to each label beyond what likeness tells, (k, labels).

    What likeness tells is a line through the carriers as they are, by least squares.  ``pushes``
    are (k, n, labels) in honest leads, NaN where a carrier has the label anyhow; NaN for a label
    that all carriers or none have.
    """
    columns = [
        _beyond(pushes[..., label], label, dirty, clean) for label in range(pushes.shape[-1])
    ]
    return torch.stack(columns, dim=-1)


def _beyond(pushes: Tensor, label: int, dirty: Reading, clean: Reading) -> Tensor:
    """The same for one label: (k, n) -> (k)."""
    likeness = Likeness.of(clean, label)
    if likeness is None or clean.leads is None:
        return pushes.new_full((len(pushes),), torch.nan)
    leads = clean.leads[:, label] / honest_leads(clean.leads)[label]
    slope, usual = line(likeness.place(clean), leads)
    typical: Tensor = (pushes - slope * likeness.place(dirty) - usual).nanmedian(-1).values
    return typical
