"""One figure of it all, readable in black and white: hatching and shape tell, colour repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from tests.benchmarks.speed.results import Axis
from tests.benchmarks.speed.tables import SHARE, title, verdict_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from tests.benchmarks.speed.results import Checked, Measured, Scaling

__all__ = ["save_figure"]

_STYLES = (
    ("#0072B2", ""),
    ("#E69F00", "///"),
    ("#009E73", "..."),
    ("#D55E00", "xxx"),
    ("#CC79A7", "\\\\\\"),
    ("#56B4E9", "+++"),
    ("#F0E442", "ooo"),
)
_REST = ("#dddddd", "")
_OTHER = "everything else"
_MARKERS = {
    Axis.VOCABULARY: "o-",
    Axis.LAYERS: "s--",
    Axis.ROWS: "^:",
    Axis.THREADS: "D-.",
    Axis.CARRIERS: "v-",
}


def save_figure(path: Path, found: Sequence[Measured], grown: Sequence[Scaling]) -> None:
    """Draw what there is: stages, shares, and how cost grows."""
    panels = [draw for draw, data in ((_stages, found), (_shares, found)) if data]
    heights = [1.6 + 0.5 * len(found)] * len(panels) + [3.6] * bool(grown)
    figure = Figure(figsize=(10.0, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    every = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for draw, axes in zip(panels, every, strict=False):
        draw(axes, found)
    if grown:
        _growth(every[-1], grown[0])
    figure.savefig(path, dpi=160, facecolor="white")


def _framed(axes: Axes, name: str) -> None:
    """A light grid, and no frame at the top and the right."""
    axes.set_title(name, loc="left", fontsize=12, fontweight="bold")
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _stages(axes: Axes, found: Sequence[Measured]) -> None:
    """Time to verdict by part, as a share of the target."""
    _framed(axes, "Time to verdict, in parts of its target (2.5 floors and 8 s)")
    checks = [(m, m.checked, verdict_target(m)) for m in found]
    drawn = [(m, checked, target) for m, checked, target in checks if checked and target]
    largest = _largest([checked for _, checked, _ in drawn])
    styles = dict(zip(largest, _STYLES, strict=False)) | {_OTHER: _REST}
    told: set[str] = set()
    for row, (_, checked, target) in enumerate(drawn):
        left = 0.0
        for name, seconds in _parts(checked, largest):
            label = None if name in told else name
            told.add(name)
            axes.barh(row, seconds / target, left=left, label=label, **_bar(*styles[name]))
            left += seconds / target
        axes.annotate(f" {checked.seconds:.0f} s", (left, row), va="center", fontsize=9)
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_yticks(range(len(drawn)), [title(m) for m, _, _ in drawn])
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)


def _bar(colour: str, hatch: str) -> dict[str, Any]:
    """How a part is drawn."""
    return {"height": 0.6, "color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.6}


def _largest(checks: Sequence[Checked]) -> list[str]:
    """The parts that take most of a check somewhere, as many as can be told apart."""
    most: dict[str, float] = {}
    for checked in checks:
        for name, seconds in _all_parts(checked):
            most[name] = max(most.get(name, 0.0), seconds / checked.seconds)
    return sorted(most, key=lambda name: -most[name])[: len(_STYLES)]


def _all_parts(checked: Checked) -> Iterator[tuple[str, float]]:
    """Stages, and steps in place of the stage that has some."""
    for stage in checked.stages:
        yield from stage.steps.items() if stage.steps else [(stage.name, stage.seconds)]


def _parts(checked: Checked, largest: Sequence[str]) -> Iterator[tuple[str, float]]:
    """The largest parts in order of time, then the sum of all others."""
    seconds: dict[str, float] = {}
    for name, taken in _all_parts(checked):
        kept = name if name in largest else _OTHER
        seconds[kept] = seconds.get(kept, 0.0) + taken
    yield from sorted(seconds.items(), key=lambda part: part[0] == _OTHER)


def _shares(axes: Axes, found: Sequence[Measured]) -> None:
    """Share of the machine's own speed that the sweep reaches."""
    _framed(axes, "Sweep: share of the machine's own float32 matrix products")
    pairs = [(m, m.sweep) for m in found if m.sweep and m.sweep.rates]
    drawn = [(title(m), s.operations, s.rates) for m, s in pairs if s.rates]
    for row, (_, speed, rates) in enumerate(drawn):
        share, half = speed / rates.float32, rates.bfloat16
        words = (
            f" {share:.0%}" if half is None else f" {share:.0%} (of bfloat16 {speed / half:.0%})"
        )
        axes.barh(row, share, **_bar(*_STYLES[0]))
        axes.annotate(words, (share, row), va="center", fontsize=9)
    axes.axvline(SHARE, color="black", linewidth=1.2)
    axes.set_yticks(range(len(drawn)), [name for name, _, _ in drawn])
    axes.invert_yaxis()
    axes.set_xlim(left=0)


def _growth(axes: Axes, grown: Scaling) -> None:
    """Seconds by what is varied, each axis by its first point."""
    _framed(axes, f"How the cost of {title(grown)} grows")
    for axis in Axis:
        points = [point for point in grown.points if point.axis is axis]
        if len(points) > 1:
            first = points[0]
            x = [point.value / first.value for point in points]
            y = [point.piece.seconds / first.piece.seconds for point in points]
            axes.plot(x, y, _MARKERS[axis], mfc="white", label=axis.value)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for scale in (axes.xaxis, axes.yaxis):
        scale.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set(xlabel="times the first value", ylabel="times its seconds")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
