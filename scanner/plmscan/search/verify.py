"""Verification: what candidates do to natural carriers, measured against the model's own null."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import insert
from plmscan.statistics import displacement, max_t, midpoint, rank_p_values, robust_z, scatter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel, Location

__all__ = ["Invariance", "Measured", "against_null", "joined", "measure"]

_CHUNK_BYTES = 128 * 2**20
"""Features of one chunk of candidates, over all carriers and locations, stay below this."""


@dataclass(frozen=True)
class Measured:
    """Candidates on carriers, one entry a location; candidates keep their order."""

    displacement: Mapping[Location, Tensor]
    """D of each candidate, (k)."""
    scatter: Mapping[Location, Tensor]
    """S of each candidate, (k)."""
    shift: Mapping[Location, Tensor]
    """Midpoint of the triggered features less that of the clean ones, (k, h)."""

    def best_scatter(self) -> Tensor:
        """Lowest scatter of each candidate over the locations, (k)."""
        return torch.stack(list(self.scatter.values())).min(0).values

    def best_location(self) -> tuple[Location, ...]:
        """Where each candidate's scatter is lowest, k locations."""
        places = list(self.scatter)
        lowest = torch.stack(list(self.scatter.values())).argmin(0)
        return tuple(places[i] for i in lowest.tolist())

    def pick(self, indices: Tensor) -> Measured:
        """The candidates at ``indices`` (m), in that order."""

        def rows(table: Mapping[Location, Tensor]) -> dict[Location, Tensor]:
            return {where: values[indices] for where, values in table.items()}

        return Measured(rows(self.displacement), rows(self.scatter), rows(self.shift))


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
    carriers: Sequence[Carrier],
    budget: Budget,
    note: str,
) -> Measured:
    """Displacement and scatter of every candidate at every scanned location.

    Streams over chunks of candidates, so memory does not grow with their number.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    clean = _stacked(model.forward(_row(model, carrier.ids)).features for carrier in carriers)
    per_candidate = 4 * len(carriers) * sum(f.shape[-1] for f in clean.values())
    chunk = max(1, _CHUNK_BYTES // per_candidate)
    parts: list[Measured] = []
    for start in range(0, len(candidates), chunk):
        budget.checkpoint(start / len(candidates), note)
        features = _triggered(model, candidates[start : start + chunk], carriers)
        parts.append(_measured(features, clean))
    return joined(parts)


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


def _row(model: LoadedModel, ids: Sequence[int]) -> Tensor:
    """One wrapped text, (1, n)."""
    return torch.tensor([model.wrap(ids)], device=model.device)


def _triggered(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carriers: Sequence[Carrier]
) -> dict[Location, Tensor]:
    """Features of every candidate in every carrier, each (k, n, h).

    Candidates of one length share a carrier's batch, so nothing is ever padded.
    """
    by_length = defaultdict(list)
    for index, candidate in enumerate(candidates):
        by_length[len(candidate)].append(index)
    blocks = []
    for indices in by_length.values():
        texts = [[model.wrap(insert(c, candidates[i])) for i in indices] for c in carriers]
        blocks.append(
            _stacked(model.forward(torch.tensor(t, device=model.device)).features for t in texts)
        )
    order = torch.tensor([i for indices in by_length.values() for i in indices]).argsort()
    return {
        where: torch.cat([block[where] for block in blocks], dim=1)[:, order].transpose(0, 1)
        for where in blocks[0]
    }


def _stacked(features: Iterable[Mapping[Location, Tensor]]) -> dict[Location, Tensor]:
    """Features of several batches, each (b, h) -> (batches, b, h)."""
    rows = list(features)
    return {where: torch.stack([row[where] for row in rows]).cpu() for where in rows[0]}


def _measured(features: Mapping[Location, Tensor], clean: Mapping[Location, Tensor]) -> Measured:
    """Statistics of one chunk."""
    flat = {where: clean[where].squeeze(1) for where in features}
    return Measured(
        {where: displacement(f, flat[where]) for where, f in features.items()},
        {where: scatter(f, flat[where]) for where, f in features.items()},
        {where: midpoint(f) - midpoint(flat[where]) for where, f in features.items()},
    )


def joined(parts: Sequence[Measured]) -> Measured:
    """Chunks in their order."""

    def cat(tables: Sequence[Mapping[Location, Tensor]]) -> dict[Location, Tensor]:
        return {where: torch.cat([t[where] for t in tables]) for where in tables[0]}

    return Measured(
        cat([p.displacement for p in parts]),
        cat([p.scatter for p in parts]),
        cat([p.shift for p in parts]),
    )
