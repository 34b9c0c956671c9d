"""Geometry of plots: what is drawn is what was measured."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.evidence import Density
from plmscan.reports.plots import (
    Box,
    Even,
    Label,
    Logarithmic,
    Mark,
    clipped,
    dots,
    layers,
    number,
    placed,
    power,
    quantile,
    squares,
)

FRAME = Box(62, 8, 354, 262)
SIZE = 11.0
positive = st.floats(1e-12, 1e12)
inside = st.tuples(st.floats(FRAME.left, FRAME.right), st.floats(FRAME.top, FRAME.bottom))


@pytest.mark.parametrize(
    ("exponent", "text"),
    [(-7, "10⁻⁷"), (-4, "0.0001"), (-1, "0.1"), (0, "1"), (3, "1,000"), (4, "10,000"), (5, "10⁵")],
)
def test_powers_of_ten_read_as_people_write_them(exponent: int, text: str) -> None:
    """No exponent where a person would write none."""
    assert power(exponent) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (-0.04, "0"), (12.349, "12.3"), (-1.25, "-1.2")]
)
def test_coordinates_are_short(value: float, text: str) -> None:
    """A tenth of a unit is less than a screen shows."""
    assert number(value) == text


@given(st.lists(positive, min_size=1, max_size=30))
def test_a_logarithmic_axis_keeps_order_and_holds_all(values: list[float]) -> None:
    """Larger values lie further on, all within the axis, and its ticks too."""
    axis = Logarithmic.over(values, 58, 354)
    places = [axis(value) for value in sorted(values)]
    assert all(58 <= place <= 354 for place in places)
    assert all(one <= other + 1e-9 for one, other in pairwise(places))
    ticks = axis.ticks()
    assert all(58 <= tick.at <= 354 for tick in ticks)
    named = [tick for tick in ticks if tick.text]
    assert 1 <= len(named) <= 9
    assert len({tick.text for tick in named}) == len(named)


def test_ticks_stand_at_their_values() -> None:
    """A tick is drawn where its number would be."""
    axis = Logarithmic(0.5, 200.0, 0, 100)
    assert {t.text: t.at for t in axis.ticks()} == {
        text: pytest.approx(axis(float(text))) for text in ("1", "10", "100")
    }


def test_a_short_axis_is_divided_further() -> None:
    """Below three powers of ten also twice and five times are named."""
    axis = Logarithmic(0.15, 6.0, 0, 100)
    assert [tick.text for tick in axis.ticks()] == ["0.2", "0.5", "1", "2", "5"]


@given(st.floats(1e-9, 1e12), st.floats(0.1, 9))
def test_numbers_of_an_axis_leave_room_for_its_title(low: float, decades: float) -> None:
    """Six characters at most, of which a browser's widest font still leaves the title alone."""
    axis = Logarithmic(low, low * 10**decades, 0, 100)
    assert all(len(tick.text) <= 6 for tick in axis.ticks())


def test_what_has_no_logarithm_lies_at_the_start() -> None:
    """A scatter of 0 is drawn at the foot of the plot."""
    axis = Logarithmic.over([0.0, 1.0], 262, 8)
    assert axis(0.0) == axis(-1.0) == 262


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=20))
def test_both_directions_of_a_projection_have_one_unit(points: list[tuple[float, float]]) -> None:
    """A round cloud looks round, and every point is in the frame."""
    x, y = Even.pair(points, (0, 210), 160)
    assert (x.high - x.low) / 210 == pytest.approx((y.high - y.low) / 160)
    for p, q in points:
        assert -1e-6 <= x(p) <= 210 + 1e-6
        assert -1e-6 <= y(q) <= 160 + 1e-6


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0, 1))
def test_a_quantile_lies_among_the_values(values: list[float], share: float) -> None:
    """From the least at 0 to the most at 1."""
    assert min(values) <= quantile(values, share) <= max(values)
    assert quantile(values, 0) == min(values)
    assert quantile(values, 1) == max(values)


def covered(path: str) -> list[tuple[int, int]]:
    """The cells that a path of runs covers."""
    runs = re.findall(r"M(\d+) (\d+)h1v(\d+)h-1z", path)
    assert "".join(f"M{c} {r}h1v{n}h-1z" for c, r, n in runs) == path
    return [(int(c), int(r) + step) for c, r, n in runs for step in range(int(n))]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 11), st.integers(0, 7)), st.integers(1, 5000), max_size=60
    )
)
def test_each_level_covers_the_cells_that_reach_it(counts: dict[tuple[int, int], int]) -> None:
    """Every cell once, at each level that its count reaches."""
    cells = tuple((c, r, count) for (c, r), count in counts.items())
    levels = layers(Density((1, 2), (1, 2), 12, 8, cells))
    assert [least for least, _ in levels][:3] == [1, 4, 10][: len(levels)]
    for least, path in levels:
        drawn = covered(path)
        assert len(drawn) == len(set(drawn))
        assert set(drawn) == {place for place, count in counts.items() if count >= least}


def test_a_full_grid_is_a_short_path() -> None:
    """Cells of a column that follow each other are one rectangle."""
    cells = tuple((c, r, 1) for c in range(96) for r in range(64))
    ((_, path),) = layers(Density((1, 2), (1, 2), 96, 64, cells))
    assert len(path) < 96 * 20


def test_dots_and_squares_have_one_mark_each() -> None:
    """A path says how many things it shows."""
    assert dots([(1.0, 2.0), (3.25, 4.0)]) == "M1 2h0M3.2 4h0"
    assert squares([(0, 0), (2, 1)], 0.5) == "M0.25 0.25h0.5v0.5h-0.5zM2.25 1.25h0.5v0.5h-0.5z"


def box(label: Label) -> Box:
    """About what a label covers."""
    wide = len(label.text) * SIZE * 0.6
    left = label.x - {"start": 0, "middle": wide / 2, "end": wide}[label.anchor]
    return Box(left + 0.01, label.y - 0.7 * SIZE, left + wide - 0.01, label.y)


@given(st.lists(st.tuples(inside, st.booleans()), max_size=14), st.lists(inside, max_size=40))
def test_labels_do_not_collide(
    points: list[tuple[tuple[float, float], bool]], crowd: list[tuple[float, float]]
) -> None:
    """Names that may be left out keep off every other name, and all of them are in the frame."""
    marks = [Mark(x, y, f"w{n}", strong=strong) for n, ((x, y), strong) in enumerate(points)]
    labels = placed(marks, FRAME, crowd, SIZE)
    weak = [label for label in labels if not label.mark.strong]
    for label in weak:
        assert box(label).within(FRAME)
        assert not any(box(label).meets(box(other)) for other in labels if other is not label)
    assert {label.mark for label in labels if label.mark.strong} == {m for m in marks if m.strong}


def test_strong_marks_that_lie_together_are_named_in_a_column() -> None:
    """Five triggers in one spot stay legible, from top to bottom as they lie."""
    marks = [Mark(300 + 2 * n, 220 + 3 * n, f"t{n}", strong=True) for n in range(5)]
    labels = placed(marks, FRAME, [], SIZE)
    assert [label.text for label in labels] == ["t0", "t1", "t2", "t3", "t4"]
    assert len({label.x for label in labels}) == 1
    assert all(below.y - above.y >= SIZE for above, below in pairwise(labels))
    assert all(label.leader for label in labels)
    assert all(box(label).within(FRAME) for label in labels)


def test_a_lone_mark_is_named_beside_itself() -> None:
    """No line is drawn where none is needed."""
    (label,) = placed([Mark(200, 100, "cf", strong=True)], FRAME, [], SIZE)
    assert not label.leader
    assert math.dist((label.x, label.y), (200, 100)) < 16


def test_long_names_are_cut() -> None:
    """The table beside the plot has the whole."""
    assert clipped("x" * 18) == "x" * 18
    assert clipped("x" * 19) == "x" * 17 + "…"
