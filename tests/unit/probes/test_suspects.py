"""Which candidates a follow-up probe looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.evidence import Evidence, Trigger
from plmscan.probes.suspects import leading, most_invariant, token_ids

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence


def suspect(token: int, **metrics: float) -> Evidence:
    """Evidence about a candidate of one token."""
    trigger = Trigger(f"t{token}", (token,), "cls", 1.0, 0.1, 9.0, 0.01, 99)
    return Evidence("trigger-sweep", f"t{token}", metrics, trigger=trigger)


def tokens(found: Sequence[Evidence]) -> list[int]:
    """The candidates by their token."""
    return [token for one in found for token in token_ids(one)]


KINDS = (
    *(suspect(10 + i, scatter=0.1 * (i + 1), sweep_rank=0.0) for i in range(6)),
    *(suspect(20 + i, scatter=5.0 + i, sweep_rank=float(i + 1)) for i in range(6)),
    *(suspect(30 + i, scatter=50.0, sweep_rank=0.0, strength=9.0 - i) for i in range(6)),
    Evidence("embedding-rows", "a row", {"z": 99.0}),
)
"""Six that are invariant, six that displace most, six that push to a label; and another matter."""


def test_candidates_are_told_by_their_tokens() -> None:
    """Evidence about anything else has none."""
    assert token_ids(KINDS[0]) == (10,)
    assert token_ids(KINDS[-1]) == ()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_the_most_invariant_have_the_least_scatter(count: int) -> None:
    """The best comes first, and no more than asked come."""
    assert tokens(most_invariant(KINDS, count)) == [10, 11, 12, 13][:count]


def test_what_has_no_scatter_is_no_candidate() -> None:
    """Where fewer than asked have one, these are all."""
    assert len(most_invariant(KINDS, 99)) == 18
    assert most_invariant(KINDS[-1:], 4) == []
    assert leading(KINDS[-1:], 4) == []


def test_the_best_of_every_kind_lead() -> None:
    """So many of the most invariant, as many of the first in the sweep, half as many by label."""
    assert tokens(leading(KINDS, 4)) == [10, 11, 12, 13, 20, 21, 22, 23, 30, 31]


def test_a_rank_of_zero_is_no_rank() -> None:
    """What the sweep did not put among its first is not taken for its first."""
    unranked = [suspect(9, scatter=9.0, sweep_rank=0.0), suspect(8, scatter=9.0)]
    assert tokens(leading([suspect(7, scatter=1.0), *unranked], 1)) == [7]


def test_a_candidate_of_every_kind_is_told_once() -> None:
    """It takes the place of its best kind, and leaves room for nobody else."""
    best = suspect(1, scatter=0.01, sweep_rank=1.0, strength=10.0)
    found = leading([*KINDS, best], 2)
    assert found[0] is best
    assert tokens(found) == [1, 10, 20]


evidence = st.lists(
    st.builds(
        lambda token, metrics: suspect(token, **metrics),
        st.integers(0, 99),
        st.dictionaries(
            st.sampled_from(["scatter", "sweep_rank", "strength"]), st.sampled_from([0.0, 1.0, 2.0])
        ),
    ),
    max_size=30,
    unique_by=token_ids,
)


@given(evidence, st.integers(0, 8), st.randoms())
def test_the_order_of_evidence_decides_nothing(
    suspects: list[Evidence], count: int, rng: random.Random
) -> None:
    """Between equals the tokens do; nobody comes twice, and all were suspects."""
    mixed = rng.sample(suspects, len(suspects))
    found = leading(suspects, count)
    assert leading(mixed, count) == found
    assert most_invariant(mixed, count) == most_invariant(suspects, count)
    assert len(set(tokens(found))) == len(found) <= 2 * count + count // 2
    assert set(tokens(found)) <= set(tokens(suspects))
