"""What the groups of a group test keep to, however many items there are."""

from __future__ import annotations

from itertools import combinations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plmscan.search.measure.meetings import Design
from plmscan.search.propose.groups import _halves

PRIMES = (2, 3, 5, 7, 11, 13)

unhurried = settings(deadline=None)
"""The first call of a torch operation may take longer than an example is allowed to."""

sizes = st.integers(2, 8)
counts = st.integers(1, 90)
planes = st.sampled_from(PRIMES).flatmap(lambda q: st.tuples(st.integers(2, q), st.just(q)))
"""Columns and rows of a plane without an empty place."""


def design(count: int, size: int) -> Design:
    """Items whose number tells their place, and none of which is its own number."""
    return Design(torch.arange(count) + 1000, size)


def every_group(plan: Design) -> list[list[int]]:
    """Items of all lines, by their number."""
    groups: list[list[int]] = (plan.groups(torch.arange(plan.rows**2)) - 1000).tolist()
    return groups


def shared(plan: Design) -> Tensor:
    """On how many lines two items meet, (v, v); on the diagonal, on how many an item lies."""
    held = torch.zeros(plan.rows**2, len(plan.items), dtype=torch.long)
    for line, group in enumerate(every_group(plan)):
        held[line, group] = 1
    return held.T @ held


@given(counts, sizes)
def test_rows_are_the_smallest_prime_that_will_do(count: int, size: int) -> None:
    """Not below the size of a group, and with a point for every item."""
    plan = design(count, size)
    primes = [q for q in range(2, 200) if all(q % d for d in range(2, q))]
    assert plan.rows == next(q for q in primes if q >= size and q * size >= count)


@unhurried
@given(counts, sizes)
def test_lines_of_one_slope_hold_every_item(count: int, size: int) -> None:
    """A class of parallel lines leaves none out, and every group is of the size asked for."""
    plan = design(count, size)
    groups, q = every_group(plan), plan.rows
    assert len(groups) == q**2
    assert {len(group) for group in groups} == {size}
    for slope in range(q):
        held = {item for group in groups[slope * q : (slope + 1) * q] for item in group}
        assert held == set(range(count))


@unhurried
@given(planes)
def test_lines_of_one_slope_share_no_item(plane: tuple[int, int]) -> None:
    """Where every place has an item of its own, a class is a partition."""
    size, q = plane
    plan = design(size * q, size)
    assert plan.rows == q
    groups = every_group(plan)
    for slope in range(q):
        held = [item for group in groups[slope * q : (slope + 1) * q] for item in group]
        assert sorted(held) == list(range(size * q))


@unhurried
@given(planes)
def test_any_two_meet_once_or_stand_in_one_column(plane: tuple[int, int]) -> None:
    """Items of two columns share one line, those of one column none, and each lies on q."""
    size, q = plane
    column = torch.arange(size * q) // q
    wanted = (column.unsqueeze(0) != column.unsqueeze(1)).long()
    assert torch.equal(shared(design(size * q, size)), wanted.fill_diagonal_(q))


@unhurried
@given(counts, sizes)
def test_items_that_fill_no_plane_meet_all_the_same(count: int, size: int) -> None:
    """Places that are left hold an item once more: so any two of different columns still meet."""
    plan = design(count, size)
    column = torch.arange(count) // plan.rows
    apart = column.unsqueeze(0) != column.unsqueeze(1)
    assert (shared(plan)[apart] >= 1).all()


@given(counts, sizes, st.integers(0, 2**31))
def test_any_lines_can_be_asked_for(count: int, size: int, seed: int) -> None:
    """Some lines, in some order, hold what they hold among all."""
    plan = design(count, size)
    generator = torch.Generator().manual_seed(seed)
    some = torch.randint(plan.rows**2, (5,), generator=generator)
    whole = every_group(plan)
    assert (plan.groups(some) - 1000).tolist() == [whole[line] for line in some.tolist()]


@given(st.integers(1, 4), st.integers(1, 6))
def test_every_pair_stays_together_in_some_half(groups: int, quarter: int) -> None:
    """Six halves of each group, in which any two of its items are together, and no others."""
    whole = torch.arange(groups * 4 * quarter).reshape(groups, 4 * quarter)
    halves = _halves(whole)
    assert halves.shape == (6 * groups, 2 * quarter)
    together = {pair for half in halves.tolist() for pair in combinations(sorted(half), 2)}
    assert together == {pair for group in whole.tolist() for pair in combinations(group, 2)}
