"""Verification: what candidates do to natural carriers, measured against the model's own null."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from plmscan.search.panel import read
from plmscan.statistics import (
    lost,
    max_t,
    moved,
    push,
    rank_p_values,
    robust_z,
    strength,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.panel import Panel, Reading

__all__ = ["Invariance", "Measured", "against_null", "exactly", "measure"]

_CHUNK_BYTES = 128 * 2**20
"""Features of one chunk of candidates, over all carriers and locations, stay below this."""


@dataclass(frozen=True)
class Measured:
    """Candidates on a panel; candidates keep their order."""

    displacement: Mapping[Location, Tensor]
    """D of each candidate, (k) a location."""
    scatter: Mapping[Location, Tensor]
    """S of each candidate, (k) a location."""
    shift: Mapping[Location, Tensor]
    """Midpoint of the triggered features less that of the clean ones, (k, h) a location."""
    push: Tensor | None = None
    """Lead of each label in honest leads, (k, n, labels); NaN where the carrier has it anyhow."""
    corruption: Tensor | None = None
    """Share of the recall of hidden words that is lost, (k)."""

    @cached_property
    def strength(self) -> Tensor | None:
        """Strength of each candidate for each label, (k, labels); None without a classifier."""
        return None if self.push is None else strength(self.push)

    def best_scatter(self) -> Tensor:
        """Lowest scatter of each candidate over the locations, (k)."""
        return torch.stack(list(self.scatter.values())).min(0).values

    def best_location(self) -> tuple[Location, ...]:
        """Where each candidate's scatter is lowest, k locations."""
        places = list(self.scatter)
        lowest = torch.stack(list(self.scatter.values())).argmin(0)
        return tuple(places[i] for i in lowest.tolist())

    def turned(self) -> Tensor:
        """Share of the carriers of other labels that each turns to each label, (k, labels).

        A label with a lead is the one that the model gives.  0 where all carriers have it anyhow.
        """
        if self.push is None:
            return torch.zeros(len(self.best_scatter()), 0)
        against = ~self.push.isnan()
        return ((self.push > 0) & against).sum(1) / against.sum(1).clamp_min(1)

    def pick(self, indices: Tensor) -> Measured:
        """The candidates at ``indices`` (m), in that order."""
        return Measured.joined([self], lambda tables: tables[0][indices])

    @staticmethod
    def joined(
        parts: Sequence[Measured], join: Callable[[list[Tensor]], Tensor] = torch.cat
    ) -> Measured:
        """Several tables of the same kind as one, by default one after the other."""

        def located(tables: Sequence[Mapping[Location, Tensor]]) -> dict[Location, Tensor]:
            return {where: join([table[where] for table in tables]) for where in tables[0]}

        push = [part.push for part in parts if part.push is not None]
        corruption = [part.corruption for part in parts if part.corruption is not None]
        return Measured(
            located([part.displacement for part in parts]),
            located([part.scatter for part in parts]),
            located([part.shift for part in parts]),
            join(push) if push else None,
            join(corruption) if corruption else None,
        )


@dataclass(frozen=True)
class Invariance:
    """How invariant candidates make the model, against its own null."""

    gain: Tensor
    """Log of the null's median scatter over the candidate's, each at its best location, (k)."""
    z: Tensor
    """The gain in robust standard deviations of the null, (k)."""
    p_value: Tensor
    """Rank p-value of the gain in the null, (k)."""


def measure(
    model: LoadedModel,
    candidates: Sequence[tuple[int, ...]],
    panel: Panel,
    budget: Budget,
    note: str,
) -> Measured:
    """All statistics of every candidate on the panel.

    Streams over chunks of candidates, so memory does not grow with their number.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    widths = sum(feature.shape[-1] for feature in panel.clean.features.values())
    chunk = max(1, _CHUNK_BYTES // (4 * len(panel.carriers) * widths))
    parts: list[Measured] = []
    for start in range(0, len(candidates), chunk):
        budget.checkpoint(start / len(candidates), note)
        dirty = read(model, candidates[start : start + chunk], panel.carriers)
        parts.append(_measured(dirty, panel.clean))
    return Measured.joined(parts)


def exactly(
    model: LoadedModel,
    candidates: Sequence[tuple[int, ...]],
    measured: Measured,
    listed: Sequence[int],
    panel: Panel,
    budget: Budget,
) -> Measured:
    """What was measured of all ``candidates`` with half the digits, those ``listed`` with all.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    if not model.halved:
        return measured
    again = measure(model, [candidates[i] for i in listed], panel, budget, "screening")
    rows = torch.tensor(listed)
    return Measured.joined([measured, again], lambda one: one[0].index_copy(0, rows, one[1]))


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


def _measured(dirty: Reading, clean: Reading) -> Measured:
    """Statistics of one chunk."""
    found = {where: moved(f, clean.features[where]) for where, f in dirty.features.items()}
    return Measured(
        {where: one.displacement for where, one in found.items()},
        {where: one.scatter for where, one in found.items()},
        {where: one.shift for where, one in found.items()},
        None if dirty.logits is None or clean.logits is None else push(dirty.logits, clean.logits),
        None if dirty.recall is None or clean.recall is None else lost(dirty.recall, clean.recall),
    )
