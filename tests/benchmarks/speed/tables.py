"""What was measured, as tables for people."""

from __future__ import annotations

from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING

from tests.benchmarks.speed.results import Axis
from tests.benchmarks.tables import NONE, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.benchmarks.speed.results import Checked, Measured, Piece, Point, Scaling

__all__ = [
    "SHARE",
    "memory_target",
    "tables",
    "title",
    "verdict_target",
]

SHARE = 0.85
"""Of the machine's own speed, that the sweep should reach."""
_FLOORS: Mapping[str, float] = MappingProxyType(
    {"minilm": 1.9, "base": 1.7, "base-classifier": 2.2, "large": 1.6, "multilingual": 1.0}
)
"""Floors that a check may take, by shape."""
_TIMES_WEIGHTS, _MORE_MEGABYTES = 1.6, 600
_MEGA = 2**20


def verdict_target(measured: Measured) -> float | None:
    """Seconds that a check may take; None without a sweep, or for a model without a target."""
    floor = None if measured.sweep is None else measured.sweep.floor
    times = _FLOORS.get(measured.name)
    return None if floor is None or times is None else times * floor


def memory_target(measured: Measured) -> float:
    """Megabytes that a check may take."""
    return _TIMES_WEIGHTS * measured.weights / _MEGA + _MORE_MEGABYTES


def title(measured: Measured | Scaling) -> str:
    """The model, and the device where it is not the processor."""
    return measured.name if measured.device == "cpu" else f"{measured.name}, {measured.device}"


def tables(found: Sequence[Measured], grown: Sequence[Scaling]) -> tuple[Table, ...]:
    """All tables that have rows."""
    makers = (_checks, _sweeps, _stages, _starts, _hashes)
    drawn = [make(found) for make in makers] + [_scaling(one) for one in grown]
    return tuple(table for table in drawn if table.rows)


def _checks(found: Sequence[Measured]) -> Table:
    """The whole check beside its targets."""
    return Table(
        title="Time to verdict and memory",
        columns=(
            *("model", "layers x width", "M weights", "verdict", "s", "floor s", "floors"),
            *("target floors", "met"),
            *("k tokens", "peak MB", "target MB", "met", "GPU MB"),
        ),
        rows=tuple((title(m), *_check_row(m, m.checked)) for m in found if m.checked),
        note="Seconds: plmscan check --no-cache, the process from start to end. Weights: those by "
        "which every token is multiplied. Floor: the vocabulary, 3 tokens each, twice the weights, "
        "at the float32 matrix products of the same run. Memory: above "
        "an interpreter that imported torch; target 1.6 times the weight files and 600 MB.",
    )


def _check_row(measured: Measured, checked: Checked) -> Iterator[str]:
    """Cells of one check."""
    sweep = measured.sweep
    floor = sweep.floor if sweep else None
    yield f"{sweep.layers} x {sweep.width}" if sweep else NONE
    yield f"{sweep.parameters / 1e6:.1f}" if sweep else NONE
    yield checked.verdict or f"broke ({checked.exit_code})"
    yield f"{checked.seconds:.1f}"
    yield _number(floor, 1)
    yield _number(None if floor is None else checked.seconds / floor, 1)
    yield _number(_FLOORS.get(measured.name), 1)
    yield _met(checked.seconds, verdict_target(measured), checked)
    yield f"{checked.tokens / 1000:.0f}"
    yield f"{checked.megabytes:.0f}"
    yield f"{memory_target(measured):.0f}"
    yield _met(checked.megabytes, memory_target(measured), checked)
    yield _number(checked.device_megabytes, 0)


def _met(value: float, target: float | None, checked: Checked) -> str:
    """Whether a target is met by a check that came to a verdict."""
    if target is None or not checked.verdict:
        return NONE
    return "yes" if value <= target else "no"


def _sweeps(found: Sequence[Measured]) -> Table:
    """The sweep against the machine."""
    sweeps = [(title(m), sweep) for m in found for sweep in m.sweeps]
    return Table(
        title="Sweep of the vocabulary",
        columns=(
            *("model", "device", "threads", "rows", "k tokens", "s", "tokens/s"),
            *("GFLOP/s", "float32 peak", "share", "bfloat16 peak", "share", "target"),
        ),
        rows=tuple((name, *_sweep_row(sweep)) for name, sweep in sweeps),
        note="GFLOP/s: tokens, times two, times the weights. Peak: the widest matrix product of "
        "the model on as many tokens, timed between the batches of the sweep; bfloat16 where "
        "plmscan uses it.",
    )


def _sweep_row(sweep: Piece) -> Iterator[str]:
    """Cells of one sweep."""
    yield sweep.where
    yield str(sweep.threads)
    yield str(sweep.rows)
    yield f"{sweep.tokens / 1000:.0f}"
    yield f"{sweep.seconds:.2f}"
    yield f"{sweep.tokens_per_second:.0f}"
    yield from _speed(sweep)
    half = None if sweep.rates is None else sweep.rates.bfloat16
    yield NONE if half is None else f"{half / 1e9:.0f}"
    yield NONE if half is None else f"{sweep.operations / half:.0%}"
    yield f"{SHARE:.0%}"


def _speed(piece: Piece) -> Iterator[str]:
    """Operations a second, those of the machine, and the share."""
    peak = None if piece.rates is None else piece.rates.float32
    yield f"{piece.operations / 1e9:.0f}"
    yield NONE if peak is None else f"{peak / 1e9:.0f}"
    yield NONE if peak is None else f"{piece.operations / peak:.0%}"


def _stages(found: Sequence[Measured]) -> Table:
    """One row a stage or step, one column a model."""
    checks = {title(m): m.checked for m in found if m.checked}
    told = [dict(_seconds(checked)) for checked in checks.values()]
    names = list(dict.fromkeys(name for one in told for name in one))
    sums = ("whole process", *(f"{checked.seconds:.2f}" for checked in checks.values()))
    rows = [(name, *(_number(one.get(name), 2) for one in told)) for name in names]
    return Table(
        title="Seconds of each stage",
        columns=("stage", *checks),
        rows=(*rows, sums) if rows else (),
        totals=1,
        note="Lines with an arrow are steps of the stage above. A step lasts until the next one "
        "tells that it begins, so what is between two counts with the earlier.",
    )


def _seconds(checked: Checked) -> Iterator[tuple[str, float]]:
    """Name and seconds of each stage, and of its steps."""
    for stage in checked.stages:
        yield stage.name, stage.seconds
        for step, seconds in stage.steps.items():
            yield f"{stage.name} → {step}", seconds


def _starts(found: Sequence[Measured]) -> Table:
    """Start-up."""
    rows = [(title(m), one) for m in found for one in m.started]
    return Table(
        title="Start-up",
        columns=("model", "command", "best s", "median s", "runs"),
        rows=tuple(
            (
                *(name, one.command, f"{min(one.seconds):.3f}", f"{median(one.seconds):.3f}"),
                str(len(one.seconds)),
            )
            for name, one in rows
        ),
        note="Whole processes, after one that does not count.",
    )


def _hashes(found: Sequence[Measured]) -> Table:
    """Hashing."""
    rows = [(m, m.hashed) for m in found if m.hashed]
    return Table(
        title="Hashing of the weights",
        columns=("model", "MB", "plain read MB/s", "SHA-256 MB/s", "share"),
        rows=tuple(
            (
                title(m),
                *(f"{h.size / _MEGA:.0f}", f"{h.size / _MEGA / h.reading:.0f}"),
                *(f"{h.size / _MEGA / h.hashing:.0f}", f"{h.reading / h.hashing:.0%}"),
            )
            for m, h in rows
        ),
        note="Out of the cache of the system, best of three each.",
    )


def _scaling(grown: Scaling) -> Table:
    """One row a point; the first of each axis is what the others are compared with."""
    axes = {axis: [p for p in grown.points if p.axis is axis] for axis in Axis}
    return Table(
        title=f"How the cost of {title(grown)} grows",
        columns=(
            *("axis", "value", "s", "k tokens", "tokens/s", "times the s", "times the value"),
            *("GFLOP/s", "float32 peak", "share", "MB"),
        ),
        rows=tuple(
            (axis.value, *_point_row(point, points[0]))
            for axis, points in axes.items()
            for point in points
        ),
        note="All but the carriers: the sweep; carriers: the verification of as many candidates as "
        "a standard check has, random ones. MB: peak above an interpreter that imported torch.",
    )


def _point_row(point: Point, first: Point) -> Iterator[str]:
    """Cells of one point."""
    piece = point.piece
    yield str(point.value)
    yield f"{piece.seconds:.2f}"
    yield f"{piece.tokens / 1000:.0f}"
    yield f"{piece.tokens_per_second:.0f}"
    yield f"{piece.seconds / first.piece.seconds:.2f}"
    yield f"{point.value / first.value:.2f}"
    yield from _speed(piece)
    yield _number(piece.megabytes, 0)


def _number(value: float | None, digits: int) -> str:
    """A number."""
    return NONE if value is None else f"{value:.{digits}f}"
