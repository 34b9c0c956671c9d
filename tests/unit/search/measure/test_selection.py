"""Who goes on from the screening: the best of every kind."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.loading import Location
from plmscan.search.measure.effects import Measured
from plmscan.search.measure.selection import finalists, leaders, strongest

if TYPE_CHECKING:
    from torch import Tensor

CLS, MEAN = Location.CLS, Location.MEAN
EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def screened(scatter: list[float], shift: list[list[float]]) -> Measured:
    """Items with the given S and shift at CLS."""
    s = torch.tensor(scatter)
    return Measured({CLS: s}, {CLS: s}, {CLS: torch.tensor(shift)})


def random_items(seed: int, count: int) -> Measured:
    """Items at two locations, with labels and losses, without any structure."""
    dice = torch.Generator().manual_seed(seed)
    s = {where: torch.rand(count, generator=dice) for where in (CLS, MEAN)}
    shift = {where: torch.randn(count, 8, generator=dice) for where in (CLS, MEAN)}
    push, corruption = torch.randn(count, 5, 3, generator=dice), torch.rand(count, generator=dice)
    return Measured(s, s, shift, push, corruption)


def different(count: int) -> Tensor:
    """Items that are nobody's twins but their own."""
    return torch.eye(count, dtype=torch.bool)


def test_leaders_have_outputs_of_their_own() -> None:
    """Each is the most invariant of those that lead where it leads, the best first."""
    found = screened([0.3, 0.01, 0.02, 0.2, 0.1], [EAST, EAST, EAST, NORTH, WEST])
    assert leaders(found, CLS, 9) == [1, 4, 3]
    assert leaders(found, CLS, 2) == [1, 4]


def test_a_crowd_leaves_room() -> None:
    """Thirty items with one output do not keep out a less invariant one with its own."""
    found = screened([0.01] * 30 + [0.5], [EAST] * 30 + [NORTH])
    assert 30 in finalists(found, 8, different(len(found.best_scatter())))


def test_what_leads_a_crowd_brings_company() -> None:
    """The most invariant go on whatever their output, which shows whose spill-over they are."""
    found = screened([0.01, 0.02, 0.03, 0.9], [EAST, EAST, EAST, NORTH])
    assert {0, 1} <= set(finalists(found, 8, different(len(found.best_scatter()))))


def test_a_crowd_of_twins_leaves_room() -> None:
    """Of items that are one token to the model three go on, and then the next best."""
    found = screened([0.01] * 30 + [0.5, 0.6], [EAST] * 32)
    twins = different(32)
    twins[:30, :30] = True
    assert set(finalists(found, 10, twins)) == {0, 1, 2, 30, 31}


def test_the_strongest_of_each_label() -> None:
    """One column a label, the strongest first."""
    push = torch.tensor([[[1.0, -1.0]], [[3.0, -2.0]], [[2.0, 5.0]]]).expand(3, 4, 2)
    found = replace(screened([0.5] * 3, [EAST] * 3), push=push)
    assert strongest(found, 2) == [[1, 2], [2, 0]]


def test_nearly_every_carrier_has_to_give_in() -> None:
    """A high push of some carriers is no strength."""
    push = torch.tensor([[9.0, 9.0, -1.0], [1.0, 1.0, 1.0]]).unsqueeze(-1).expand(2, 3, 2)
    found = replace(screened([0.5] * 2, [EAST] * 2), push=push)
    assert [column[0] for column in strongest(found, 2)] == [1, 1]


def test_many_labels_share_the_places() -> None:
    """Fewer each, and never none."""
    push = torch.randn(50, 4, 40, generator=torch.Generator().manual_seed(0))
    found = replace(screened([0.5] * 50, [EAST] * 50), push=push)
    assert {len(column) for column in strongest(found, 8)} == {1}
    assert len(strongest(found, 8)) == 40


def test_an_encoder_has_no_strongest() -> None:
    """Without a classifier there are no labels to push to."""
    assert strongest(screened([0.5], [EAST]), 3) == []


def test_the_best_of_every_kind_goes_on() -> None:
    """The most invariant, the strongest for each label and the most corrupting."""
    push = torch.zeros(40, 4, 2)
    push[7, :, 0], push[8, :, 1] = 2.0, 2.0
    corruption = torch.zeros(40)
    corruption[9] = 0.9
    scatter = [0.5] * 40
    scatter[6] = 0.01
    found = replace(screened(scatter, [EAST] * 40), push=push, corruption=corruption)
    assert {6, 7, 8, 9} <= set(finalists(found, 8, different(len(found.best_scatter()))))


@given(st.integers(0, 2**31), st.integers(1, 60), st.sampled_from([8, 16, 32]))
def test_each_goes_on_once(seed: int, items: int, count: int) -> None:
    """Finalists are items, all different, about as many as asked, however few items there are."""
    found = finalists(random_items(seed, items), count, different(items))
    assert len(set(found)) == len(found) <= 2 * count
    assert set(found) <= set(range(items))
    assert len(found) >= min(items, count // 4)
