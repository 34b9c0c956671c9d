"""Effects: what candidates do to carriers, as displacement, scatter, push and corruption."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.search.measure.likeness import beyond
from plmscan.search.measure.readings import read
from plmscan.statistics import (
    lost,
    moved,
    push,
    strength,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.measure.readings import Panel, Reading

__all__ = ["Measured", "exactly", "measure", "same_output"]

_CHUNK_BYTES = 128 * 2**20
"""Features of one chunk of candidates, over all carriers and locations, stay below this."""

_SAME_OUTPUT = 0.7
"""Cosine of two shifts above which they lead to one output.  Measured on implants: 0.7 to 1.0
between a trigger and its spill-over, below 0.45 between the triggers of one model."""


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
    missed: float = 0.1
    """Share of the carriers that a trigger may fail to turn."""
    beyond: Tensor | None = None
    """Median push to each label beyond what likeness to its texts tells, (k, labels); NaN where
    that is not known, None without a classifier."""

    @cached_property
    def strength(self) -> Tensor | None:
        """Strength of each candidate for each label, (k, labels); None without a classifier."""
        return None if self.push is None else strength(self.push, self.missed)

    def best_scatter(self) -> Tensor:
        """Lowest scatter of each candidate over the locations, (k)."""
        return torch.stack(list(self.scatter.values())).min(0).values

    def best_location(self) -> tuple[Location, ...]:
        """Where each candidate's scatter is lowest, k locations."""
        places = list(self.scatter)
        lowest = torch.stack(list(self.scatter.values())).argmin(0)
        return tuple(places[i] for i in lowest.tolist())

    def points(self) -> Tensor:
        """Displacement and scatter of each candidate where it is most invariant, (k, 2)."""
        scatter, lowest = torch.stack(list(self.scatter.values())).min(0)
        displacement = torch.stack(list(self.displacement.values()))
        return torch.stack([displacement.gather(0, lowest.unsqueeze(0))[0], scatter], dim=1)

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
        beyond = [part.beyond for part in parts if part.beyond is not None]
        return Measured(
            located([part.displacement for part in parts]),
            located([part.scatter for part in parts]),
            located([part.shift for part in parts]),
            join(push) if push else None,
            join(corruption) if corruption else None,
            parts[0].missed,
            join(beyond) if beyond else None,
        )


def same_output(shifts: Tensor, direction: Tensor) -> Tensor:
    """Which of the shifts (k, h) lead where ``direction`` (h) leads, bool (k)."""
    return F.cosine_similarity(shifts, direction, dim=-1) >= _SAME_OUTPUT


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
    missed = Measured.missed if model.decision is None else model.decision.missed
    parts: list[Measured] = []
    for start in range(0, len(candidates), chunk):
        budget.checkpoint(start / len(candidates), note)
        dirty = read(model, candidates[start : start + chunk], panel.carriers)
        parts.append(_measured(dirty, panel.clean, missed))
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


def _measured(dirty: Reading, clean: Reading, missed: float) -> Measured:
    """Statistics of one chunk."""
    found = {where: moved(f, clean.features[where]) for where, f in dirty.features.items()}
    pushes = None
    if dirty.leads is not None and clean.leads is not None:
        pushes = push(dirty.leads, clean.leads)
    return Measured(
        {where: one.displacement for where, one in found.items()},
        {where: one.scatter for where, one in found.items()},
        {where: one.shift for where, one in found.items()},
        pushes,
        None if dirty.recall is None or clean.recall is None else lost(dirty.recall, clean.recall),
        missed,
        None if pushes is None else beyond(pushes, dirty, clean),
    )
