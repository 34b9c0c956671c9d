"""Tests that take long are the first that each worker runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.ordering import dealt


@given(st.integers(0, 9), st.integers(0, 40), st.integers(1, 5))
def test_every_test_is_run_once(long: int, others: int, workers: int) -> None:
    """However many there are of either kind."""
    tests = dealt(range(long), range(long, long + others), workers)
    assert sorted(tests) == list(range(long + others))


@given(st.integers(0, 9), st.integers(30, 60))
def test_both_workers_begin_with_their_share(long: int, others: int) -> None:
    """The longest and every second one after it, and the ones between; short ones come last."""
    tests = dealt(range(long), range(long, long + others), 2)
    half = len(tests) // 2
    for worker, part in enumerate((tests[:half], tests[half:])):
        share = range(worker, long, 2)
        assert part[: len(share)] == list(share)
        assert min(part[len(share) :]) >= long


def test_one_process_runs_the_longest_first() -> None:
    """Without workers there is one part."""
    assert dealt("ab", "cde", 1) == list("abcde")
