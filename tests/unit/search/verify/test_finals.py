"""Which finalists are held against which null, and what is told of them besides."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.loading import Location
from plmscan.search.measure.effects import Measured
from plmscan.search.verify.finals import Finals


def finals(lengths: list[int]) -> Finals:
    """Finalists of the given lengths, of which nothing else matters."""
    ids = [tuple(range(10 * i, 10 * i + length)) for i, length in enumerate(lengths)]
    ones = {Location.CLS: torch.ones(len(ids))}
    return Finals(ids, Measured(ones, ones, {Location.CLS: torch.zeros(len(ids), 2)}))


def test_single_items_are_held_against_single_ones() -> None:
    """All longer ones against as many tokens as the longest of them."""
    assert finals([1, 3, 1, 2]).kinds() == [(1, [0, 2]), (3, [1, 3])]


def test_a_kind_that_is_not_there_has_no_null() -> None:
    """Without longer ones, or without single ones, one null will do."""
    assert finals([1, 1]).kinds() == [(1, [0, 1])]
    assert finals([2, 4]).kinds() == [(4, [0, 1])]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20))
def test_each_finalist_has_one_null(lengths: list[int]) -> None:
    """Every index once; no null is shorter than what it judges, and that of single items single."""
    kinds = finals(lengths).kinds()
    assert sorted(i for _, members in kinds for i in members) == list(range(len(lengths)))
    for size, members in kinds:
        assert members == sorted(members)
        assert all((lengths[i] == 1) == (size == 1) for i in members)
        assert size == max(lengths[i] for i in members)


def test_finalists_stand_where_they_are_most_invariant() -> None:
    """Each at its own location."""
    s = {Location.CLS: torch.tensor([0.1, 0.9]), Location.MEAN: torch.tensor([0.2, 0.3])}
    measured = Measured(s, s, {where: torch.zeros(2, 2) for where in s})
    assert Finals([(1,), (2,)], measured).places == (Location.CLS, Location.MEAN)
