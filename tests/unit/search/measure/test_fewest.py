"""The fewest tokens that do what all of them do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.search.measure.fewest import fewest, without_one

if TYPE_CHECKING:
    from collections.abc import Sequence


@given(
    st.lists(st.integers(0, 99), min_size=2, max_size=24, unique=True),
    st.integers(0, 50),
    st.data(),
)
def test_what_is_left_is_what_is_needed(words: list[int], seed: int, data: st.DataObject) -> None:
    """Whichever words have to be together, and whatever the others add to it."""
    trigger = data.draw(st.sets(st.sampled_from(words), min_size=1, max_size=4))
    generator = torch.Generator().manual_seed(seed)
    adds = (0.02 * torch.randn(100, generator=generator)).tolist()

    def score(candidates: Sequence[tuple[int, ...]]) -> list[float]:
        return [float(trigger <= {*one}) + sum(adds[i] for i in one) for one in candidates]

    assert {*fewest(score, tuple(words), math.inf, 0.5)[0]} == trigger


def test_without_each_word_in_turn() -> None:
    """As many as there are words."""
    assert without_one((1, 2, 3)) == [(2, 3), (1, 3), (1, 2)]
