"""The search from afar: every item is counted, and what stands out has its name."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.evidence import Landscape, rounded
from plmscan.loading import Location, load
from plmscan.probes.dynamic.trigger_sweep import Probe
from plmscan.scan.isolation import run_probe
from plmscan.search.measure.candidates import text_of
from plmscan.search.pipeline import Search, search
from plmscan.search.plot_data import density, landscape
from plmscan.search.recipes import RECIPES
from tests.artifacts import artifact_of
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from plmscan.evidence import Density
    from plmscan.loading import LoadedModel

BUDGET = Budget(bundled_texts(), Effort.QUICK)
CLS, MEAN = Location.CLS, Location.MEAN


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model with ``cf`` and ``mn`` planted at CLS."""
    return load(artifact_of(tiny_folder(tmp_path_factory, "cls")), "cpu")


@pytest.fixture(scope="module")
def found(model: LoadedModel) -> Search:
    """A quick search of it; read only."""
    return search(model, RECIPES[Effort.QUICK], BUDGET)


@pytest.fixture(scope="module")
def seen(model: LoadedModel, found: Search) -> Landscape:
    """The same from afar."""
    return landscape(found, lambda ids: text_of(model, ids))


def total(grid: Density) -> int:
    """Items on the grid."""
    return sum(count for _, _, count in grid.cells)


def cell(grid: Density, across: float, up: float) -> tuple[int, int]:
    """Where a point lies, as a plot would draw it."""
    column, row = (
        math.floor(count * math.log(value / low) / math.log(high / low))
        for value, (low, high), count in (
            (across, grid.across, grid.columns),
            (up, grid.up, grid.rows),
        )
    )
    return min(column, grid.columns - 1), min(row, grid.rows - 1)


def test_every_swept_item_is_counted(found: Search, seen: Landscape) -> None:
    """Once; the cells are in order and inside the grid, and the range is that of the scores."""
    grid, plain = seen.vocabulary, found.sweep.plain[Location(seen.location)]
    assert total(grid) == len(found.sweep.ids)
    assert [c[:2] for c in grid.cells] == sorted({c[:2] for c in grid.cells})
    assert all(c < grid.columns and r < grid.rows and n > 0 for c, r, n in grid.cells)
    assert grid.across == pytest.approx((float(plain.min()), float(plain.max())))


def test_planted_triggers_are_named_far_out(found: Search, seen: Landscape) -> None:
    """With the distances that the sweep gave them, in a cell of their own or nearly so."""
    assert seen.location == "cls"
    names = [name for name, _, _ in seen.named]
    assert {"cf", "mn"} <= set(names[:4])
    assert len(names) == len(set(names)) <= 24
    assert [up for _, _, up in seen.named] == sorted((up for *_, up in seen.named), reverse=True)
    counts = {(column, row): count for column, row, count in seen.vocabulary.cells}
    planted = [(across, up) for name, across, up in seen.named if name in {"cf", "mn"}]
    for across, up in planted:
        assert counts[cell(seen.vocabulary, across, up)] <= 2
        assert up in found.sweep.whitened[CLS].tolist()


def test_what_was_screened_is_there_beside_the_null(found: Search, seen: Landscape) -> None:
    """Each item once, most invariant first; the planted are below the whole null."""
    assert len(seen.screened) == found.screened
    assert [s for _, s in seen.screened] == sorted(s for _, s in seen.screened)
    assert len(seen.null) == RECIPES[Effort.QUICK].null_items
    assert seen.screened[1][1] < min(s for _, s in seen.null) / 5
    assert seen.screened[1][0] > max(d for d, _ in seen.null)


def test_the_sweep_tells_it_once(model: LoadedModel, seen: Landscape) -> None:
    """With one seed the same to the byte, before and after it was tidied."""
    told = [o for o in Probe().inspect(model, BUDGET) if isinstance(o, Landscape)]
    assert json.dumps([asdict(one) for one in told]) == json.dumps([asdict(seen)])
    once, twice = tidied(seen), tidied(tidied(seen))
    assert once == twice
    assert total(once.vocabulary) == total(seen.vocabulary)
    assert once.named[0][1] == rounded(seen.named[0][1])
    assert once.null[0] == tuple(map(rounded, seen.null[0]))


def tidied(one: Landscape) -> Landscape:
    """What a report gets of it."""
    run = run_probe("trigger-sweep", lambda _: Probe(), lambda _: [one])
    assert not run.gaps
    (tidy,) = run.landscapes
    return tidy


def test_points_that_are_no_numbers_are_left_out(seen: Landscape) -> None:
    """Without a gap: a plot decides nothing."""
    odd, good = (math.nan, 1.0), (math.inf, 1 / 3)
    tidy = tidied(
        replace(seen, named=(("a", *odd), ("b", *good)), screened=(odd, good), null=(odd,))
    )
    largest = rounded(sys.float_info.max)
    assert tidy.named == (("b", largest, 0.333333),)
    assert (tidy.screened, tidy.null) == (((largest, 0.333333),), ())


def test_it_costs_no_forward_pass(model: LoadedModel, found: Search, seen: Landscape) -> None:
    """All of it was measured anyhow."""
    before = model.forward_tokens
    assert landscape(found, lambda ids: text_of(model, ids)) == seen
    assert model.forward_tokens == before


def test_it_is_read_where_the_best_candidate_is(model: LoadedModel, found: Search) -> None:
    """At the first location if it is read nowhere in the sweep, or if there is no candidate."""

    def place(some: Search) -> str:
        return landscape(some, lambda ids: text_of(model, ids)).location

    best, *others = sorted(found.candidates, key=lambda one: one.scatter)
    moved = replace(found, candidates=(*others, replace(best, location=MEAN)))
    assert place(moved) == "mean"
    nowhere = replace(best, location=Location.LAST)
    assert place(replace(found, candidates=(nowhere,))) == "cls"
    assert place(replace(found, candidates=())) == "cls"


def test_a_candidate_that_was_not_swept_has_no_name(model: LoadedModel, found: Search) -> None:
    """Longer ones have no place in the vocabulary."""
    one = found.candidates[0]
    others = (replace(one, ids=(one.ids[0], one.ids[0])), replace(one, ids=(10**6,)))
    assert landscape(replace(found, candidates=others), str).named == ()


def test_thousands_of_screened_items_are_thinned(model: LoadedModel, found: Search) -> None:
    """The most invariant all stay, and the range of the others; their order does not matter."""
    scatter = torch.linspace(0.01, 1, 5000)
    rows = torch.stack([scatter * 10, scatter], dim=1)
    mixed = rows[torch.randperm(5000, generator=torch.Generator().manual_seed(0))]
    shown = landscape(replace(found, tried=mixed), str).screened
    assert len(shown) == len(set(shown)) == 2000
    assert shown[:1000] == tuple((a, b) for a, b in rows[:1000].tolist())
    assert shown[-1][1] == 1
    steps = [b - a for (_, a), (_, b) in pairwise(shown[1000:])]
    assert max(steps) < 1.3 * min(steps)


FINITE = st.floats(0, 2.0**100, width=32)
ITEMS = st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=40)


@given(ITEMS)
def test_a_grid_holds_what_it_is_given(values: list[tuple[float, float]]) -> None:
    """Zeros, equal values, thirty decades: each has a cell, and the range is above 0."""
    across, up = torch.tensor(values).unbind(1)
    grid = density(across, up)
    assert total(grid) == len(values)
    assert 0 < grid.across[0] < grid.across[1]
    assert 0 < grid.up[0] < grid.up[1]
    assert all(0 <= c < grid.columns and 0 <= r < grid.rows for c, r, _ in grid.cells)


@given(ITEMS.flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))))
def test_the_order_of_items_does_not_matter(orders: tuple[list[tuple[float, float]], ...]) -> None:
    """The same items, the same grid."""
    one, other = (density(*torch.tensor(items).unbind(1)) for items in orders)
    assert one == other


def test_what_is_no_number_is_on_no_grid() -> None:
    """NaN and infinity lie nowhere; a grid of nothing is empty."""
    odd = torch.tensor([1.0, math.nan, math.inf, 2.0])
    assert total(density(odd, torch.ones(4))) == 2
    assert density(odd[1:2], odd[1:2]).cells == ()
