"""Figures of a report: what its evidence looks like, and the same in words.

Each figure is a frozen noun of positions and path data that the page's template draws, with a
sentence for readers who do not see it.  Names come from the model: they stay plain text here, and
the template escapes them.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.reports.plots import (
    Box,
    Even,
    Label,
    Logarithmic,
    Mark,
    Tick,
    dots,
    layers,
    number,
    placed,
    quantile,
    ring,
    squares,
)
from plmscan.reports.visible import visible
from plmscan.reports.wording import short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from plmscan.evidence import (
        Demonstration,
        Density,
        Evidence,
        HeadEffect,
        Landscape,
        Projection,
        Trigger,
    )

__all__ = [
    "HeadMap",
    "Layer",
    "Plot",
    "Strip",
    "head_map",
    "is_drawable",
    "projection_plot",
    "screening_plot",
    "strip",
    "vocabulary_plot",
]

_SIZE = 11.0
"""Height of the letters of a label; a plot is drawn about as wide as a phone's screen."""
_FRAME = Box(62, 8, 354, 262)
"""Where the two large plots draw."""
_WIDTH, _HEIGHT = 360.0, 304.0
_SMALL = Box(0, 0, 210, 160)
"""Where a projection draws."""
_RINGS = 400
"""Points above which a cloud is drawn as dots, not as rings, which take more room in the page."""
_NAMES = 8
"""Candidates that a plot names beside the triggers."""
_STRONG = 12
"""Triggers that are named, as many as stand beside each other."""
_STRONG_OF_CLEAN = 4
"""Candidates that are surely named where there is no trigger."""
_USUAL_RANGE = ((0.1, 10.0), (0.001, 10.0))
"""Displacement and scatter that are in the plot in any case, so that reports look comparable."""
_NULL_BAND = (0.05, 0.95)
"""Quantiles of the null between which the band lies."""
_STEPS = ((2.0, 0.34), (5.0, 0.52), (10.0, 0.7), (20.0, 0.88))
"""From which robust z on, either way, a head's square has which side."""
_SPECK = 0.14
"""Side of the square of a head that does about as much as usual."""
_WIDEST_MAP = 300.0
_LARGEST_CELL = 17.0


@dataclass(frozen=True)
class Layer:
    """Marks of one kind, in one path."""

    kind: str
    """What they are; the style sheet knows how they look."""
    path: str
    """SVG path data."""
    count: int
    """How many marks."""
    transform: str = ""
    """From the path's units to the plot's; empty if they are the same."""


@dataclass(frozen=True)
class Axis:
    """One side of a plot."""

    title: str
    """What it measures, and in what."""
    ticks: tuple[Tick, ...] = ()
    """Values that it names."""


@dataclass(frozen=True)
class Plot:
    """A plot with points."""

    title: str
    """What it is."""
    words: str
    """What it shows, for who cannot see it."""
    width: float
    """Of the whole drawing."""
    height: float
    """The same downwards."""
    frame: Box
    """Where the points are."""
    across: Axis
    """From left to right."""
    up: Axis
    """From bottom to top."""
    layers: tuple[Layer, ...]
    """Clouds of points, the lowest first."""
    marks: tuple[Mark, ...] = ()
    """Points with names, the most important last."""
    labels: tuple[Label, ...] = ()
    """Names that there is room for."""
    band: Box | None = None
    """What is usual, as a part of the frame."""


@dataclass(frozen=True)
class Strip:
    """A number before and after, on a line from 0 to 1."""

    before: str
    """Path of a ring."""
    after: str
    """Path of a dot."""
    between: str
    """Path of a line from the one to the other."""


@dataclass(frozen=True)
class HeadMap:
    """What a candidate does to every attention head, as squares on a grid."""

    words: str
    """What it shows, for who cannot see it."""
    cell: float
    """Width and height of a cell."""
    columns: int
    """Heads."""
    rows: int
    """Layers."""
    layers: tuple[Layer, ...]
    """Squares of heads that give about as much attention as usual, more, or less; in cells."""
    hijacked: tuple[HeadEffect, ...]
    """Heads that get a frame."""
    across: tuple[Tick, ...]
    """Numbers of heads, in units of cells."""
    down: tuple[Tick, ...]
    """Numbers of layers."""


def is_drawable(landscape: Landscape) -> bool:
    """Whether it holds a grid with something in it; a report that was edited may not."""
    grid = landscape.vocabulary
    ranges = (grid.across, grid.up)
    return (
        bool(grid.cells) and min(grid.columns, grid.rows) > 0 and all(0 < a < b for a, b in ranges)
    )


def vocabulary_plot(landscape: Landscape, triggers: Sequence[Trigger]) -> Plot:
    """How far every vocabulary item alone is out, plain against Mahalanobis distance."""
    grid, frame = landscape.vocabulary, _FRAME
    far = [(x, y) for _, x, y in landscape.named]
    x = Logarithmic.over([*grid.across, *(p for p, _ in far)], frame.left, frame.right)
    y = Logarithmic.over([*grid.up, *(p for _, p in far)], frame.bottom, frame.top)
    wide = (x(grid.across[1]) - x(grid.across[0])) / grid.columns
    tall = (y(grid.up[0]) - y(grid.up[1])) / grid.rows
    origin = x(grid.across[0]), y(grid.up[0])
    transform = f"translate({origin[0]:.2f} {origin[1]:.2f}) scale({wide:.4f} {-tall:.4f})"
    crowd = [(origin[0] + (c + 0.5) * wide, origin[1] - (r + 0.5) * tall) for c, r, _ in grid.cells]
    marks = _named(((t, x(p), y(q)) for t, p, q in landscape.named), triggers)
    levels = layers(grid)
    return Plot(
        title=f"Every vocabulary item by itself, at {visible(landscape.location)}",
        words=_words_of_vocabulary(landscape, triggers),
        width=_WIDTH,
        height=_HEIGHT,
        frame=frame,
        across=Axis("squared distance from the vocabulary’s middle", x.ticks()),
        up=Axis("squared Mahalanobis distance", y.ticks()),
        layers=tuple(
            Layer(f"density d{min(n, 5)}", path, least, transform)
            for n, (least, path) in enumerate(levels)
        ),
        marks=marks[::-1],
        labels=placed(marks, frame, crowd, _SIZE),
    )


def _named(
    points: Iterable[tuple[str, float, float]], triggers: Sequence[Trigger]
) -> tuple[Mark, ...]:
    """Marks of triggers, then those of other candidates as far as names fit."""
    found = {trigger.text for trigger in triggers}
    every = [(visible(text), x, y, text in found) for text, x, y in points]
    planted = [Mark(x, y, text, planted=True) for text, x, y, planted in every if planted]
    others = [Mark(x, y, text) for text, x, y, planted in every if not planted][:_NAMES]
    strong, weak = (planted, others) if planted else (others, [])
    most = _STRONG if planted else _STRONG_OF_CLEAN
    sure = [replace(mark, strong=True) for mark in strong[:most]]
    return (*sure, *strong[most:], *weak)


def _words_of_vocabulary(landscape: Landscape, triggers: Sequence[Trigger]) -> str:
    """How the plot of the vocabulary reads."""
    grid = landscape.vocabulary
    total = sum(count for _, _, count in grid.cells)
    known = {trigger.text for trigger in triggers}
    far = [one for one in landscape.named if one[0] in known] or landscape.named[:1]
    middle = _typical(grid.across, grid.columns, ((c, n) for c, _, n in grid.cells))
    usual = _typical(grid.up, grid.rows, ((r, n) for _, r, n in grid.cells))
    told = (
        f"Of {total:,} vocabulary items, half lie within a squared distance of about "
        f"{short(middle)}, and half within a squared Mahalanobis distance of about {short(usual)}."
    )
    if not far:
        return told
    text, x, y = min(far, key=lambda one: one[2])
    kind = "The trigger" if len(far) == 1 else "The least of the triggers"
    kind = kind if known else "The candidate that is furthest out"
    beyond = _beyond(grid, y)
    others = {0: "No item has", 1: "One item has"}.get(beyond, f"{beyond:,} items have")
    return (
        f"{told} {kind}, “{visible(text)}”, has a squared distance of {short(x)} and a squared "
        f"Mahalanobis distance of {short(y)}. {others} a clearly larger Mahalanobis distance."
    )


def _beyond(grid: Density, value: float) -> int:
    """How many items lie above the cell of ``value``."""
    low, high = grid.up
    row = int(math.log(max(value, low) / low) / math.log(high / low) * grid.rows)
    return sum(count for _, r, count in grid.cells if r > row)


def _typical(ends: tuple[float, float], cells: int, counts: Iterable[tuple[int, int]]) -> float:
    """The median of what a logarithmic grid counted along one axis, to within a cell."""
    along: Counter[int] = Counter()
    for cell, count in counts:
        along[cell] += count
    half, seen = along.total() / 2, 0
    for cell in sorted(along):
        seen += along[cell]
        if seen >= half:
            return float(ends[0] * (ends[1] / ends[0]) ** ((cell + 0.5) / cells))
    return ends[0]


def screening_plot(
    landscape: Landscape, triggers: Sequence[Trigger], others: Sequence[Trigger]
) -> Plot:
    """Displacement against scatter in sentences, of triggers and of what is usual."""
    frame, candidates = _FRAME, [*triggers, *others]
    best = [(c.displacement, c.scatter) for c in candidates]
    points = [*landscape.screened, *landscape.null, *best]
    range_x, range_y = _USUAL_RANGE
    x = Logarithmic.over((*range_x, *(p for p, _ in points)), frame.left, frame.right)
    y = Logarithmic.over((*range_y, *(p for _, p in points)), frame.bottom, frame.top)

    def at(pairs: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x(p), y(q)) for p, q in pairs]

    null, screened = at(landscape.null), at(landscape.screened)
    marks = _named(((c.text, x(c.displacement), y(c.scatter)) for c in candidates), triggers)
    return Plot(
        title="Candidates in sentences, beside random vocabulary",
        words=_words_of_screening(landscape, triggers, others),
        width=_WIDTH,
        height=_HEIGHT,
        frame=frame,
        across=Axis("displacement D, in variances of clean text", x.ticks()),
        up=Axis("scatter S left by the sentence", y.ticks()),
        layers=(
            Layer("screened", dots(screened), len(screened)),
            Layer("null", "".join(ring(p, q, 2.2) for p, q in null[:_RINGS]), len(null[:_RINGS])),
        ),
        marks=marks[::-1],
        labels=placed(marks, frame, [*screened, *null], _SIZE),
        band=_band(landscape, y),
    )


def _band(landscape: Landscape, up: Callable[[float], float]) -> Box | None:
    """Where most of the null's scatter lies; None without a null."""
    if not landscape.null:
        return None
    low, high = (quantile((s for _, s in landscape.null), share) for share in _NULL_BAND)
    return Box(_FRAME.left, up(high), _FRAME.right, max(up(low), up(high) + 1))


def _words_of_screening(
    landscape: Landscape, triggers: Sequence[Trigger], others: Sequence[Trigger]
) -> str:
    """How the plot of displacement and scatter reads."""
    told, low = [], 0.0
    if landscape.null:
        low, high = (quantile((s for _, s in landscape.null), share) for share in _NULL_BAND)
        told.append(
            f"With 90% of {len(landscape.null):,} random vocabulary items the sentence leaves a "
            f"scatter from {short(low)} to {short(high)}, which is the band."
        )
    if triggers:
        worst = max(triggers, key=lambda one: one.scatter)
        only = "The trigger" if len(triggers) == 1 else "The weakest of the triggers"
        told.append(f"{only}, “{visible(worst.text)}”, leaves {_beside(worst.scatter, low)}.")
    if others:
        best = min(others, key=lambda one: one.scatter)
        weaker = any(best.text in trigger.variants for trigger in triggers)
        known = ", a weaker variant of a trigger" if weaker else ""
        kind = "other candidate" if triggers else "candidate"
        only = f"The {kind}" if len(others) == 1 else f"The strongest {kind}"
        told.append(f"{only}, “{visible(best.text)}”{known}, leaves {_beside(best.scatter, low)}.")
    return " ".join(told)


def _beside(scatter: float, low: float) -> str:
    """A scatter, and how far below the band it lies if it does."""
    below = f"; the band begins at {short(low / scatter)} times that" if 0 < scatter < low else ""
    return f"{short(scatter)}{below}"


def projection_plot(name: str, projection: Projection) -> Plot | None:
    """Features of carriers on their main axes, without and with a candidate; None if empty."""
    points = [*projection.clean, *projection.triggered]
    if not points:
        return None
    frame = _SMALL
    x, y = Even.pair(points, (frame.left, frame.right), frame.bottom)
    clean, moved = (
        [(x(p), y(q)) for p, q in each] for each in (projection.clean, projection.triggered)
    )
    lines = "".join(
        f"M{number(a)} {number(b)}L{number(c)} {number(d)}"
        for (a, b), (c, d) in zip(clean, moved, strict=False)
    )
    first, second = projection.shares
    return Plot(
        title=f"Features without and with “{name}”",
        words=_words_of_projection(projection),
        width=frame.right,
        height=frame.bottom + 18,
        frame=frame,
        across=Axis(f"axis 1, {first:.0%} of the variance"),
        up=Axis(f"axis 2, {second:.0%}"),
        layers=(
            Layer("way", lines, len(moved)),
            Layer("clean", "".join(ring(p, q, 2.6) for p, q in clean), len(clean)),
            Layer("moved", "".join(_diamond(p, q) for p, q in moved), len(moved)),
        ),
    )


def _diamond(x: float, y: float) -> str:
    """A path of a small diamond."""
    return f"M{number(x)} {number(y - 3.4)}l3.4 3.4-3.4 3.4-3.4-3.4z"


def _words_of_projection(projection: Projection) -> str:
    """How a projection reads: how much of the spread the candidate leaves."""
    clean, moved = _width(projection.clean), _width(projection.triggered)
    told = (
        f"The features of {len(projection.clean)} carriers as they stand lie {short(clean)} from "
        f"their middle (root mean square), and {short(moved)} with the candidate"
    )
    return f"{told}, which is {moved / clean:.0%} of it." if clean > 0 else f"{told}."


def _width(points: Sequence[tuple[float, float]]) -> float:
    """Root mean square distance of ``points`` from their middle."""
    if not points:
        return 0.0
    middle = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
    squared = sum((p - middle[0]) ** 2 + (q - middle[1]) ** 2 for p, q in points)
    return float((squared / len(points)) ** 0.5)


def strip(demonstration: Demonstration) -> Strip:
    """Likeness of a carrier's feature to the others', before and after, on 72 units."""
    start, end = (
        4 + 72 * min(max(value, 0.0), 1.0)
        for value in (demonstration.likeness, demonstration.triggered_likeness)
    )
    return Strip(
        before=ring(start, 6, 3.2),
        after=ring(end, 6, 3.2),
        between=f"M{number(start)} 6H{number(end)}",
    )


def head_map(evidence: Evidence) -> HeadMap | None:
    """What every attention head makes of a candidate; None where it was not measured."""
    rows = evidence.heatmap
    if not rows or not rows[0]:
        return None
    cells = [(c, r, z) for r, row in enumerate(rows) for c, z in enumerate(row)]
    columns = len(rows[0])
    return HeadMap(
        words=_words_of_heads(evidence, cells),
        cell=min(_LARGEST_CELL, _WIDEST_MAP / columns),
        columns=columns,
        rows=len(rows),
        layers=tuple(_steps(cells)),
        hijacked=tuple(head for head in evidence.heads if head.hijacked),
        across=_numbers(columns),
        down=_numbers(len(rows)),
    )


def _steps(cells: Sequence[tuple[int, int, float]]) -> Iterator[Layer]:
    """Squares by direction and size; those that no head has are left out."""
    least = _STEPS[0][0]
    usual = [(c, r) for c, r, z in cells if abs(z) < least]
    yield Layer("usual", squares(usual, _SPECK), len(usual))
    for kind, sign in (("more", 1), ("less", -1)):
        for (low, side), high in zip(_STEPS, (*dict(_STEPS[1:]), math.inf), strict=True):
            members = [(c, r) for c, r, z in cells if low <= sign * z < high]
            if members:
                yield Layer(kind, squares(members, side), len(members))


def _numbers(count: int) -> tuple[Tick, ...]:
    """Numbers of heads or layers, as many as there is room for."""
    step = 1 if count <= 12 else 2 if count <= 24 else 4  # noqa: PLR2004 - digits need room
    return tuple(Tick(index + 0.5, str(index)) for index in range(0, count, step))


def _words_of_heads(evidence: Evidence, cells: Sequence[tuple[int, int, float]]) -> str:
    """How a map of heads reads."""
    far = sum(z >= _STEPS[1][0] for _, _, z in cells)
    top = max(cells, key=lambda cell: cell[2])
    return (
        f"{far} of {len(cells)} heads give “{visible(evidence.subject)}” far more attention than "
        f"control strings get (robust z of {_STEPS[1][0]:g} or more), most of all head "
        f"{top[1]}.{top[0]} with {short(top[2])}."
    )
