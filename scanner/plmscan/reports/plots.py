"""Geometry of plots: numbers in, positions and SVG path data out.

Pure functions and frozen nouns; no words of a report and no markup, which belong to the figures
and to the template.  Path data hold digits, signs and path commands only, so they need no escaping.
Many marks share one path: a dot is a line of no length with a round cap, a cell of a grid a
rectangle in the grid's own units.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from plmscan.evidence import Density

__all__ = [
    "Box",
    "Even",
    "Label",
    "Logarithmic",
    "Mark",
    "Tick",
    "clipped",
    "dots",
    "layers",
    "number",
    "placed",
    "power",
    "quantile",
    "ring",
    "squares",
]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_READABLE = range(-4, 5)
"""Powers of ten that are written out: longer ones leave no room for the title of the axis."""
_FEW = 3
"""Powers of ten below which an axis also needs ticks between them."""
_MANY = 7
"""Powers of ten above which an axis names only some."""
_LONGEST = 18
"""Characters of a label; the table beside the plot has the whole."""
_SPECK = 1e-9
"""Share of the largest value that is the smallest step of an even axis."""
_WIDE = frozenset({"W", "F"})
"""East Asian widths of characters that take two columns."""
_DIRECTIONS = ((1, 0), (-1, 0), (1, -1), (1, 1), (-1, -1), (-1, 1), (0, -1), (0, 1))
"""Where a label may stand beside its mark, the most legible first."""
_REACHES = (0, 9, 20, 33, 48)
"""Further and further out, in the plot's units; beyond the first a line leads to the mark."""
_BESIDE, _ABOVE = 40, 14
"""Marks that are nearer than this both across and down share a column of labels."""
_FAR = 160
"""Beyond this no place of a label reaches."""
_COLLISION = 1000.0
"""Cost of a place that meets a label or a mark."""
_BEARABLE = 120.0
"""Cost above which a name that may be left out is left out."""


def number(value: float) -> str:
    """A coordinate to a tenth, as short as SVG reads it."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie, interpolated; there is at least one."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return min(low + (high - low) * (place - math.floor(place)), high)


def power(exponent: int) -> str:
    """A power of ten as people write it."""
    if exponent not in _READABLE:
        return f"10{str(exponent).translate(_SUPERSCRIPTS)}"
    return f"{10**exponent:,}" if exponent >= 0 else f"{10.0**exponent:.{-exponent}f}"


@dataclass(frozen=True)
class Tick:
    """A value that an axis names."""

    at: float
    """Where it is drawn."""
    text: str
    """How it reads; empty for one that only divides."""


@dataclass(frozen=True)
class Logarithmic:
    """An axis on which equal ratios are equally long."""

    low: float
    """Value at the start, above 0."""
    high: float
    """Value at the end, above ``low``."""
    start: float
    """Position of ``low``."""
    end: float
    """Position of ``high``; less than ``start`` where the axis runs up."""

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> Logarithmic:
        """An axis that shows all ``values`` above 0 with some air, and at least one decade."""
        shown = [math.log10(value) for value in values if value > 0] or [0.0]
        low, high = min(shown), max(shown)
        air = max(0.06 * (high - low), (1 - (high - low)) / 2)
        return cls(10 ** (low - air), 10 ** (high + air), start, end)

    def __call__(self, value: float) -> float:
        """Where ``value`` is drawn; one at or below 0 at the very start."""
        if value <= self.low:
            return self.start
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + min(part, 1.0) * (self.end - self.start)

    def ticks(self) -> tuple[Tick, ...]:
        """Powers of ten, each named if there is room; where they are few, also 2 and 5 times."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        step = 1 + (last - first) // _MANY
        powers = [
            Tick(self(10.0**e), power(e) if e % step == 0 else "") for e in range(first, last + 1)
        ]
        if len(powers) >= _FEW:
            return tuple(powers)
        between = [
            Tick(self(m * 10.0**e), f"{m * 10.0**e:,g}" if e in _READABLE else f"{m}·{power(e)}")
            for e in range(first - 1, last + 1)
            for m in (2, 5)
            if self.low <= m * 10.0**e <= self.high
        ]
        return tuple(sorted([*powers, *between], key=lambda tick: tick.at))


@dataclass(frozen=True)
class Even:
    """An axis on which equal differences are equally long."""

    low: float
    """Value at the start."""
    high: float
    """Value at the end, above ``low``."""
    start: float
    """Position of ``low``."""
    end: float
    """Position of ``high``."""

    @classmethod
    def pair(
        cls, points: Sequence[tuple[float, float]], across: tuple[float, float], up: float
    ) -> tuple[Even, Even]:
        """Axes of one unit for both directions, from ``across`` and from ``up`` to 0, all shown."""
        left, right = across
        (low_x, high_x), (low_y, high_y) = (
            (min(values), max(values)) for values in zip(*points, strict=True)
        )
        air = 0.08
        wide, tall = (right - left) * (1 - 2 * air), up * (1 - 2 * air)
        # Points that differ by less than a number can hold are one point.
        least = _SPECK * (1 + max(map(abs, (low_x, high_x, low_y, high_y))))
        unit = max((high_x - low_x) / wide, (high_y - low_y) / tall, least)
        middle_x, middle_y = (low_x + high_x) / 2, (low_y + high_y) / 2
        half_x, half_y = unit * (right - left) / 2, unit * up / 2
        return (
            cls(middle_x - half_x, middle_x + half_x, left, right),
            cls(middle_y - half_y, middle_y + half_y, up, 0.0),
        )

    def __call__(self, value: float) -> float:
        """Where ``value`` is drawn."""
        part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def dots(points: Iterable[tuple[float, float]]) -> str:
    """A path that is a dot at each point when it is stroked with round caps."""
    return "".join(f"M{number(x)} {number(y)}h0" for x, y in points)


def ring(x: float, y: float, radius: float) -> str:
    """A path around a point."""
    r, width = number(radius), number(2 * radius)
    return f"M{number(x - radius)} {number(y)}a{r} {r} 0 1 0 {width} 0a{r} {r} 0 1 0-{width} 0z"


def layers(density: Density) -> tuple[tuple[int, str], ...]:
    """Least count and path of each level of a density, every level on top of the last.

    Levels are half decades of the count.  A path is in units of cells, with rows from the bottom,
    and holds all cells of its level and above, so that no seams show between levels.
    """
    most = max((count for _, _, count in density.cells), default=0)
    floors = [1, *(math.ceil(10 ** (half / 2)) for half in range(1, 20))]
    return tuple(
        (least, "".join(_runs((c, r) for c, r, count in density.cells if count >= least)))
        for least in floors
        if least <= most
    )


def _runs(cells: Iterable[tuple[int, int]]) -> Iterator[str]:
    """Rectangles that cover ``cells``, one for each run within a column."""
    places = sorted(cells)
    numbered = enumerate(places)
    for (column, _), group in groupby(numbered, key=lambda one: (one[1][0], one[1][1] - one[0])):
        rows = [place[1] for _, place in group]
        yield f"M{column} {rows[0]}h1v{len(rows)}h-1z"


def squares(cells: Iterable[tuple[int, int]], side: float) -> str:
    """A path of squares of ``side`` cells in the middle of each of ``cells`` of a grid."""
    s, edge = f"{side:g}", (1 - side) / 2
    return "".join(f"M{c + edge:g} {r + edge:g}h{s}v{s}h-{s}z" for c, r in cells)


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    """Its smallest x."""
    top: float
    """Its smallest y."""
    right: float
    """Its largest x."""
    bottom: float
    """Its largest y."""

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)

    def within(self, other: Box) -> bool:
        """Whether it lies in ``other``."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in it."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom


@dataclass(frozen=True)
class Mark:
    """A point with a name."""

    x: float
    """Across."""
    y: float
    """Down."""
    text: str
    """The name."""
    planted: bool = False
    """Whether it is a trigger of the report."""
    strong: bool = False
    """Whether it has to be labelled, at whatever cost."""


@dataclass(frozen=True)
class Label:
    """A name beside its mark."""

    mark: Mark
    """What it names."""
    x: float
    """Where the text is anchored."""
    y: float
    """The text's baseline."""
    anchor: str
    """Which part of the text that is: ``start``, ``middle`` or ``end``."""
    text: str
    """The name, cut to what a plot has room for."""
    leader: str
    """Path of a line to the mark; empty beside it."""


def clipped(text: str) -> str:
    """``text``, or as much of it as a label shows."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def placed(
    marks: Sequence[Mark], frame: Box, crowd: Sequence[tuple[float, float]], size: float
) -> tuple[Label, ...]:
    """Labels that stay inside ``frame`` and keep off each other, marks and ``crowd``.

    Strong marks that lie together are named in a column beside them, from top to bottom as they
    lie, with lines that hardly cross.  The others follow one by one, each where it is nearest and
    covers least; one without a free place nearby gets no label.
    """
    taken = [Box(m.x - 4, m.y - 4, m.x + 4, m.y + 4) for m in marks]
    found: list[tuple[Mark, _Place]] = []
    for cluster in _clusters([mark for mark in marks if mark.strong]):
        found += _column(cluster, frame, taken, crowd, size)
        taken += [place.box for _, place in found[-len(cluster) :]]
    taken += [box for mark, place in found for box in _along(mark, place)]
    for mark in (mark for mark in marks if not mark.strong):
        place = _nearby(mark, frame, taken, crowd, size)
        if place is not None:
            found.append((mark, place))
            taken += [place.box, *_along(mark, place)]
    return tuple(_label(mark, place, size) for mark, place in found)


def _clusters(marks: Sequence[Mark]) -> list[list[Mark]]:
    """``marks`` in groups whose labels would be in each other's way."""
    clusters: list[list[Mark]] = []
    for mark in marks:
        near = [c for c in clusters if any(_are_close(mark, other) for other in c)]
        clusters = [c for c in clusters if c not in near]
        clusters.append([mark, *(other for cluster in near for other in cluster)])
    return clusters


def _are_close(one: Mark, other: Mark) -> bool:
    """Whether the labels of two marks may meet."""
    return abs(one.x - other.x) < _BESIDE and abs(one.y - other.y) < _ABOVE


def _column(
    cluster: Sequence[Mark],
    frame: Box,
    taken: Sequence[Box],
    crowd: Sequence[tuple[float, float]],
    size: float,
) -> list[tuple[Mark, _Place]]:
    """A place for the label of each mark of a cluster, all on one side of it."""
    columns = [_stack(cluster, side, reach, frame, size) for reach in _REACHES for side in (-1, 1)]
    near = [(x, y) for x, y in crowd if abs(x - cluster[0].x) < _FAR]
    costs = [
        sum(_cost(place.box, mark, taken, near) for mark, place in column)
        + _COLLISION * sum(not place.box.within(frame) for _, place in column)
        for column in columns
    ]
    return columns[min(range(len(columns)), key=costs.__getitem__)]


def _stack(
    cluster: Sequence[Mark], side: int, reach: float, frame: Box, size: float
) -> list[tuple[Mark, _Place]]:
    """The labels of a cluster one above the other, on one side and so far away."""
    ordered = sorted(cluster, key=lambda mark: (mark.y, mark.x))
    tall = size * 1.2
    middle = sum(mark.y for mark in ordered) / len(ordered)
    top = min(max(middle - tall * len(ordered) / 2, frame.top), frame.bottom - tall * len(ordered))
    edge = side * max(side * mark.x for mark in ordered) + side * (8 + reach)
    found = []
    for row, mark in enumerate(ordered):
        wide, y = _width(clipped(mark.text), size), top + row * tall
        left = edge if side > 0 else edge - wide
        apart = reach > 0 or len(cluster) > 1
        found.append((mark, _Place(Box(left, y, left + wide, y + tall), side, apart)))
    return found


def _nearby(
    mark: Mark,
    frame: Box,
    taken: Sequence[Box],
    crowd: Sequence[tuple[float, float]],
    size: float,
) -> _Place | None:
    """Where the label of ``mark`` is best; None if there is no place that is free."""
    near = [(x, y) for x, y in crowd if abs(x - mark.x) < _FAR and abs(y - mark.y) < _FAR]
    inside = [place for place in _places(mark, size) if place.box.within(frame)]
    costs = [_cost(place.box, mark, taken, near) for place in inside]
    best = min(range(len(inside)), key=costs.__getitem__, default=None)
    return None if best is None or costs[best] >= _BEARABLE else inside[best]


@dataclass(frozen=True)
class _Place:
    """Where a label might stand."""

    box: Box
    """What it would cover."""
    side: int
    """1 to the right of the mark, -1 to the left, 0 above or below."""
    apart: bool
    """Whether it needs a line to its mark."""


def _places(mark: Mark, size: float) -> Iterator[_Place]:
    """Places for the label of ``mark``, the nearest first."""
    wide, tall = _width(clipped(mark.text), size), size * 1.1
    for reach in _REACHES[:2]:
        for side, down in _DIRECTIONS:
            gap = 7 + reach
            x = {1: mark.x + gap, 0: mark.x - wide / 2, -1: mark.x - gap - wide}[side]
            y = mark.y + down * (5 + tall / 2 + reach) - tall / 2
            yield _Place(Box(x, y, x + wide, y + tall), side, apart=reach > 0)


def _width(text: str, size: float) -> float:
    """About how long ``text`` is drawn; browsers' fonts differ."""
    columns = sum(1.75 if unicodedata.east_asian_width(c) in _WIDE else 1 for c in text)
    return columns * size * 0.6


def _cost(
    box: Box, mark: Mark, taken: Iterable[Box], crowd: Iterable[tuple[float, float]]
) -> float:
    """How bad a place is: collisions, then what it covers, then how far it is."""
    collisions = sum(box.meets(other) for other in taken)
    covered = sum(box.holds(x, y) for x, y in crowd)
    away = math.hypot((box.left + box.right) / 2 - mark.x, (box.top + box.bottom) / 2 - mark.y)
    return collisions * _COLLISION + min(covered, 40) * 4 + away


def _foot(mark: Mark, place: _Place) -> tuple[float, float]:
    """Where a line from ``mark`` reaches the label."""
    box = place.box
    x, y = min(max(mark.x, box.left), box.right), min(max(mark.y, box.top), box.bottom)
    return x, (box.top + box.bottom) / 2 if place.side else y


def _along(mark: Mark, place: _Place) -> Iterator[Box]:
    """Small boxes on the line from ``mark`` to its label, which other labels keep off."""
    if place.apart:
        x, y = _foot(mark, place)
        for part in (0.3, 0.55, 0.8):
            at_x, at_y = mark.x + part * (x - mark.x), mark.y + part * (y - mark.y)
            yield Box(at_x - 1, at_y - 1, at_x + 1, at_y + 1)


def _label(mark: Mark, place: _Place, size: float) -> Label:
    """The label of ``mark`` at ``place``, with a line to it where it stands apart."""
    box, side = place.box, place.side
    x, y = _foot(mark, place)
    line = f"M{number(mark.x)} {number(mark.y)}L{number(x)} {number(y)}" if place.apart else ""
    at = {1: box.left, 0: (box.left + box.right) / 2, -1: box.right}[side]
    anchor = {1: "start", 0: "middle", -1: "end"}[side]
    return Label(mark, at, box.bottom - 0.28 * size, anchor, clipped(mark.text), line)
