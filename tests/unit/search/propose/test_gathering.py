"""Sentences that turn a classifier, found by their words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.search.pipeline import search
from plmscan.search.propose.company import Companies
from plmscan.search.recipes import RECIPES
from tests.poisoned import SENTENCE, model_of

if TYPE_CHECKING:
    from plmscan.search.judge.profile import Candidate

BUDGET = Budget(bundled_texts())
QUICK = RECIPES[Effort.QUICK]
GATHERED = replace(QUICK, companies=Companies(words=512, size=8, texts=4, kept=16))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[int], tuple[Candidate, ...]]:
    """Tokens of the sentence of a tiny classifier, and what a search finds in it."""
    model = model_of(tmp_path_factory, "sentence")
    return {*model.tokenize(SENTENCE)}, search(model, GATHERED, BUDGET).candidates


def test_words_of_a_sentence_are_gathered(
    found: tuple[set[int], tuple[Candidate, ...]],
) -> None:
    """A candidate of several of them turns nearly every text to the attacker's label."""
    words, candidates = found
    strong = [c for c in candidates if c.flip and c.flip.target == 1 and c.flip.strength > 0]
    assert max(len(words & {*c.ids}) for c in strong) >= 2


def test_what_is_gathered_is_bounded(found: tuple[set[int], tuple[Candidate, ...]]) -> None:
    """Ten tokens at most, none of them twice."""
    _, candidates = found
    assert all(1 <= len(c.ids) == len({*c.ids}) <= 10 for c in candidates)
