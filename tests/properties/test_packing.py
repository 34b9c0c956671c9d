"""Packing, for lengths of all kinds."""

from __future__ import annotations

from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from plmscan.search.measure.packing import runs

LENGTHS = st.lists(st.integers(1, 40), max_size=300).map(sorted)


@given(LENGTHS)
def test_every_text_is_in_one_pass(lengths: list[int]) -> None:
    """None is lost or read twice, and none of the passes is empty."""
    found = list(runs(lengths))
    assert list(chain.from_iterable(found)) == list(range(len(lengths)))
    assert all(found)


@given(LENGTHS)
def test_a_pass_is_no_larger_than_memory_likes(lengths: list[int]) -> None:
    """With its padding; a text that is longer than that is alone."""
    for run in runs(lengths):
        assert len(run) * lengths[run[-1]] <= 1024 or len(run) == 1


@given(LENGTHS)
def test_padding_is_cheaper_than_passes(lengths: list[int]) -> None:
    """Each time that a pass gets wider, that costs less than to begin another one."""
    for run in runs(lengths):
        for before, at in pairwise(run):
            assert (at - run[0]) * (lengths[at] - lengths[before]) <= 64


@given(st.integers(1, 40), st.integers(1, 300))
def test_texts_of_one_length_are_split_for_memory_only(length: int, count: int) -> None:
    """Nothing is padded, and all passes but the last are full."""
    *full, last = runs([length] * count)
    assert all((len(run) + 1) * length > 1024 for run in full)
    assert len(last) >= 1
