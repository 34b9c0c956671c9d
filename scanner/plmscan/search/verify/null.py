"""The null of random items: what the model does with tokens that nobody chose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.statistics import max_t, rank_p_values, robust_z

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.search.measure.effects import Measured

__all__ = ["Invariance", "against_null", "left_out"]


@dataclass(frozen=True)
class Invariance:
    """How invariant candidates make the model, against its own null."""

    gain: Tensor
    """Log of the null's median scatter over the candidate's, each at its best location, (k)."""
    z: Tensor
    """The gain in robust standard deviations of the null, (k)."""
    p_value: Tensor
    """Rank p-value of the gain in the null, (k)."""


def against_null(measured: Measured, null: Measured) -> Invariance:
    """Hold candidates against random items in the same carriers, at every location at once.

    The log of S is compared: S is a ratio, and spans four decades.  Candidates and null alike
    are taken where they are most invariant (max-T), which pays for looking at every location.
    """
    invariance, usual = (
        max_t(torch.stack([-scatter.log() for scatter in table.scatter.values()]))
        for table in (measured, null)
    )
    return Invariance(
        gain=invariance - usual.median(),
        z=robust_z(invariance, usual),
        p_value=rank_p_values(invariance, usual),
    )


def left_out(ids: Tensor, finals: Sequence[tuple[int, ...]]) -> frozenset[int]:
    """Ids that finalists hold; none where finalists make up most of a tiny vocabulary.

    The null is drawn without these: with one of two planted triggers in the null, the other would
    not outrank it, and its p-value would clear it.
    """
    taken = frozenset(token for candidate in finals for token in candidate)
    return taken if 2 * len(taken) < len(ids) else frozenset()
