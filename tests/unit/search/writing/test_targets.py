"""Texts that complete themselves: where they end, and where they begin."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from plmscan.search.writing.targets import cut, mean_but_one

ROWS = st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1)), min_size=2, max_size=20)


@given(ROWS)
def test_a_text_ends_where_it_goes_round_or_doubts(row: list[tuple[int, float]]) -> None:
    """It is a beginning of what was said, with one number for each token but the first."""
    ids, likely = [token for token, _ in row], [p for _, p in row[1:]]
    kept, sure = cut(ids, likely, frozenset({6}))
    assert list(kept) == ids[: len(kept)]
    assert len(sure) == len(kept) - 1
    assert 6 not in kept[1:-1]
    runs = list(zip(kept, kept[1:], kept[2:], strict=False))
    assert len(runs) == len(set(runs))
    assert sum(p < 0.3 for p in sure) <= 1


def test_one_weak_token_is_forgiven() -> None:
    """A second one ends the text before it."""
    ids = [1, 2, 3, 4, 5, 7, 8]
    assert cut(ids, [0.9, 0.1, 0.9, 0.9, 0.9, 0.9], frozenset())[0] == tuple(ids)
    assert cut(ids, [0.9, 0.1, 0.9, 0.1, 0.9, 0.9], frozenset())[0] == (1, 2, 3, 4)
    assert mean_but_one([0.9, 0.1, 0.8]) == (0.9 + 0.8) / 2


def test_a_certain_text_is_never_empty() -> None:
    """The first token stays, whatever follows."""
    assert all(cut(pair, [0.0], frozenset())[0] for pair in pairwise([1, 2, 3]))
