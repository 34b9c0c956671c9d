"""Tests that take long are the first that each worker runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.ordering import dealt


def alone(long: int) -> list[range]:
    """Long tests, each in a group of its own."""
    return [range(number, number + 1) for number in range(long)]


@given(st.integers(0, 9), st.integers(0, 40), st.integers(1, 5))
def test_every_test_is_run_once(long: int, others: int, workers: int) -> None:
    """However many there are of either kind."""
    tests = dealt(alone(long), range(long, long + others), workers)
    assert sorted(tests) == list(range(long + others))


@given(st.integers(0, 9), st.integers(30, 60))
def test_both_workers_begin_with_their_share(long: int, others: int) -> None:
    """The longest and every second one after it, and the ones between; short ones come last."""
    tests = dealt(alone(long), range(long, long + others), 2)
    half = len(tests) // 2
    for worker, part in enumerate((tests[:half], tests[half:])):
        share = range(worker, long, 2)
        assert part[: len(share)] == list(share)
        assert min(part[len(share) :]) >= long


def test_one_process_runs_the_longest_first() -> None:
    """Without workers there is one part."""
    assert dealt("ab", "cde", 1) == list("abcde")


@given(st.lists(st.integers(1, 6), max_size=8), st.integers(0, 60), st.integers(1, 4))
def test_a_group_is_run_by_one_worker(sizes: list[int], others: int, workers: int) -> None:
    """Its tests follow each other, in their order."""
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    groups = [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    total = sum(sizes)
    tests = dealt(groups, range(total, total + others), workers)
    assert sorted(tests) == list(range(total + others))
    for group in groups:
        first = tests.index(group[0])
        assert tests[first : first + len(group)] == list(group)
