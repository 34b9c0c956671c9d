"""The search from afar, for a plot: where the whole vocabulary lies, and what stands out of it.

Nothing here runs the model or decides anything: it counts what the search measured anyhow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plmscan.evidence import Density, Landscape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from plmscan.search.pipeline import Search

__all__ = ["density", "landscape"]

_COLUMNS = 96
_ROWS = 64
"""Cells of the grid: about as fine as a plot of half a page can show."""

_NAMED = 24
"""Candidates that are named; more names would hide each other."""

_SHOWN = 2000
"""Screened items that are all shown."""

_DECADES = 12.0
"""The grid reaches no further down from the largest value: a distance of 0 has no logarithm."""


def density(across: Tensor, up: Tensor) -> Density:
    """How many items lie where, (v) and (v); one whose distance is no number lies nowhere."""
    known = across.isfinite() & up.isfinite()
    columns, left_right = _cells(across[known], _COLUMNS)
    rows, bottom_top = _cells(up[known], _ROWS)
    cells, counts = torch.unique(columns * _ROWS + rows, return_counts=True)
    counted = zip(cells.tolist(), counts.tolist(), strict=True)
    return Density(
        across=left_right,
        up=bottom_top,
        columns=_COLUMNS,
        rows=_ROWS,
        cells=tuple((cell // _ROWS, cell % _ROWS, count) for cell, count in counted),
    )


def landscape(found: Search, name: Callable[[tuple[int, ...]], str]) -> Landscape:
    """The search as a plot needs it, read where the most invariant candidate is."""
    best = sorted(found.candidates, key=lambda one: (one.scatter, one.ids))
    places = [one.location for one in best[:1] if one.location in found.sweep.plain]
    where = places[0] if places else next(iter(found.sweep.plain))
    across, up = found.sweep.plain[where], found.sweep.whitened[where]
    swept = {(item,): at for at, item in enumerate(found.sweep.ids.tolist())}
    singles = [one.ids for one in best if one.ids in swept][:_NAMED]
    named = [(name(one), float(across[swept[one]]), float(up[swept[one]])) for one in singles]
    return Landscape(
        location=str(where),
        vocabulary=density(across, up),
        named=tuple(sorted(named, key=lambda one: (-one[2], one[0]))),
        screened=_pairs(_thinned(found.tried)),
        null=_pairs(found.null),
    )


def _cells(values: Tensor, count: int) -> tuple[Tensor, tuple[float, float]]:
    """In which of ``count`` cells each value (v) lies, and the range of them all.

    A range of one value is widened, so that every grid has a width.
    """
    values = values.double()
    highest = float(values.max()) if len(values) else 1.0
    lowest = highest * 10**-_DECADES if highest > 0 else 10**-_DECADES
    values = values.clamp_min(lowest)
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
    if low == high:
        low, high = low / 2, high * 2
    ends = torch.tensor([low, high], dtype=values.dtype).log()
    share = (values.log() - ends[0]) / (ends[1] - ends[0])
    return (share * count).long().clamp(0, count - 1), (low, high)


def _thinned(rows: Tensor) -> Tensor:
    """The most invariant half of what is shown, and an even choice of all others, (k, 2)."""
    rows = rows[rows[:, 1].argsort(stable=True)]
    if len(rows) <= _SHOWN:
        return rows
    half = _SHOWN // 2
    others = torch.linspace(half, len(rows) - 1, _SHOWN - half).long()
    return torch.cat([rows[:half], rows[others]])


def _pairs(rows: Tensor) -> tuple[tuple[float, float], ...]:
    """Each row of two numbers, (k, 2)."""
    found: Sequence[Sequence[float]] = rows.tolist()
    return tuple((first, second) for first, second in found)
