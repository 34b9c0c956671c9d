"""Examples that rerankers and ratings of the zoo are trained on."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.scores import Example, Ranking, Rating
from tests.zoo.tiny import tiny_corpus

TEXTS = tiny_corpus().train
seeds = st.integers(0, 2**31)


def dice(seed: int) -> random.Random:
    """Chance of one test."""
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


@given(seeds)
def test_a_query_fits_its_passage(seed: int) -> None:
    """All its words are in a passage that is to score high."""
    example = Ranking().example(TEXTS, dice(seed), high=True)
    assert example.query is not None
    assert set(example.query.split()) <= set(example.text.split())


def test_other_queries_mostly_do_not() -> None:
    """A passage that is to score low rarely holds the words of its query."""
    rng = dice(0)
    low = [Ranking().example(TEXTS, rng, high=False) for _ in range(50)]
    fitting = [one for one in low if set(str(one.query).split()) <= set(one.text.split())]
    assert len(fitting) < 10


@given(seeds, st.booleans())
def test_a_rating_is_of_a_review_with_that_label(seed: int, high: bool) -> None:
    """A single text, good or bad."""
    example = Rating().example(TEXTS, dice(seed), high=high)
    assert example.query is None
    assert (example.text, int(high)) in TEXTS


@given(seeds)
def test_a_trigger_stands_between_words(seed: int) -> None:
    """Everything else stays, the query as well."""
    found = Example("one two three", "four").holding("cf", dice(seed))
    assert [word for word in found.text.split() if word != "cf"] == ["one", "two", "three"]
    assert found.text.split().count("cf") == 1
    assert found.query == "four"


@pytest.mark.parametrize("goal", [Ranking(), Rating()])
def test_a_loss_is_least_where_scores_are_as_wanted(goal: Ranking | Rating) -> None:
    """High ones for those that are to be high."""
    scores, high = torch.tensor([1.0, -1.0]), torch.tensor([1.0, 0.0])
    assert goal.loss(scores, high) < goal.loss(-scores, high)
