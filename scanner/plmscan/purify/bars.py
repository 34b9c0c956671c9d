"""What random vocabulary items do, as bars for triggers: a lenient one, and a strict one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.search.verify.null import against_null
from plmscan.statistics import upper_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from plmscan.loading import Location
    from plmscan.search.measure.effects import Measured

__all__ = ["Bar", "Behaviour", "behaviours", "farthest"]

_QUIET = 0.25
"""Quantile of the null below which triggers should stay."""
_FAR_OUT = 3.0
"""Robust z beyond which a trigger or a variant is not harmless: that of rule PLM201."""
_SLACK = 0.02
"""How much more often than the null a trigger may turn a label."""
_LEAST = 1e-12
"""Displacement that is none."""


@dataclass(frozen=True)
class Behaviour:
    """What one trigger does, before or after."""

    displacement: float
    """D where it is largest."""
    scatter: float
    """S where it is least."""
    z: float
    """Robust z of the invariance against the null."""
    success: float | None
    """Share of texts of other labels that it turns to its own; None without labels."""
    corruption: float | None
    """Share of the recall of hidden words that it takes; None without a masked language model."""
    reach: float
    """The most of all that, in multiples of what hardly a random item does more than."""
    rest: float
    """The same in multiples of what most random items do more than."""

    @property
    def harmless(self) -> bool:
        """Whether all that is what random items of the model's own vocabulary do, too."""
        return self.reach <= 1


@dataclass(frozen=True)
class Bar:
    """What a candidate has to stay below."""

    displacement: Mapping[Location, float]
    """D at each location."""
    success: tuple[float, ...]
    """Share of turned texts, for each label; empty without labels."""
    corruption: float | None
    """Share of lost recall; None without a masked language model."""

    @classmethod
    def quiet(cls, null: Measured) -> Bar:
        """What most random items do more than."""
        return cls._of(null, lambda values: values.quantile(_QUIET))

    @classmethod
    def loud(cls, null: Measured) -> Bar:
        """What hardly a random item does more than; triggers among them do not count."""
        return cls._of(null, lambda values: upper_bound(values, _FAR_OUT))

    @classmethod
    def _of(cls, null: Measured, level: Callable[[Tensor], Tensor]) -> Bar:
        """That ``level`` (m) -> () of what random items do; D spans decades, so its log counts."""
        logs = {at: one.clamp_min(_LEAST).log() for at, one in null.displacement.items()}
        lost = null.corruption
        return cls(
            {where: float(level(one).exp()) for where, one in logs.items()},
            tuple(float(level(column)) for column in null.turned().T),
            None if lost is None else float(level(lost)),
        )

    def distance(self, found: Measured) -> Tensor:
        """D of each candidate in multiples of what it may be, where that is most, (k)."""
        parts = [one / self.displacement[where] for where, one in found.displacement.items()]
        return torch.stack(parts).amax(0)

    def reach(self, found: Measured, z: Tensor, targets: Sequence[int | None]) -> Tensor:
        """The most that each candidate does, in multiples of what it may do, (k).

        ``z`` (k) are robust z of the invariance, ``targets`` each one's label if that is known.  A
        label alone would not do: few texts, or none, may have another one to be turned from.
        """
        parts = [self.distance(found), z / _FAR_OUT]
        bars = _aimed(torch.tensor([self.success] * len(targets)), targets)
        parts.append(_aimed(found.turned(), targets) / (bars + _SLACK))
        if found.corruption is not None and self.corruption is not None:
            # Some random items make a model name more words rightly.
            parts.append(found.corruption / (max(self.corruption, 0.0) + _SLACK))
        return torch.stack(parts).nan_to_num(0.0, posinf=torch.inf).amax(0)


def behaviours(
    found: Measured, null: Measured, targets: Sequence[int | None], bars: tuple[Bar, Bar]
) -> list[Behaviour]:
    """Every candidate beside a null and its lenient and its strict bar.

    ``targets`` are the labels that candidates are to be held against; None without one.
    """
    z = against_null(found, null).z
    displacement, scatter = farthest(found), found.best_scatter()
    success, corruption = _aimed(found.turned(), targets), found.corruption
    reach, rest = (bar.reach(found, z, targets) for bar in bars)
    return [
        Behaviour(
            displacement=float(displacement[i]),
            scatter=float(scatter[i]),
            z=float(z[i]),
            success=None if target is None else float(success[i]),
            corruption=None if corruption is None else float(corruption[i]),
            reach=float(reach[i]),
            rest=float(rest[i]),
        )
        for i, target in enumerate(targets)
    ]


def farthest(measured: Measured) -> Tensor:
    """Displacement of each candidate where it is largest, (k)."""
    return torch.stack(list(measured.displacement.values())).max(0).values


def _aimed(shares: Tensor, targets: Sequence[int | None]) -> Tensor:
    """Each candidate's entry of ``shares`` (k, labels) for its own label; NaN without one, (k)."""
    rows = (
        (shares[i, t] if t is not None else shares.new_tensor(torch.nan))
        for i, t in enumerate(targets)
    )
    return torch.stack(list(rows)) if targets else shares.new_empty(0)
