"""What a search with words in company makes of a classifier."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.search.pipeline import search
from plmscan.search.propose.company import Companies
from plmscan.search.recipes import RECIPES
from tests.poisoned import TRIGGERS, model_of

if TYPE_CHECKING:
    from plmscan.search.judge.profile import Candidate

BUDGET = Budget(bundled_texts())
GATHERED = replace(RECIPES[Effort.QUICK], companies=Companies(words=256, size=8, texts=4, kept=16))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[int], tuple[Candidate, ...]]:
    """Tokens of the triggers of a tiny classifier, and what a search finds in it."""
    model = model_of(tmp_path_factory, "badnets")
    tokens = {token for text in TRIGGERS for token in model.tokenize(text)}
    return tokens, search(model, GATHERED, BUDGET).candidates


def test_what_is_gathered_is_bounded(found: tuple[set[int], tuple[Candidate, ...]]) -> None:
    """Ten tokens at most, none of them twice."""
    _, candidates = found
    assert all(1 <= len(c.ids) == len({*c.ids}) <= 10 for c in candidates)


def test_a_word_that_suffices_alone_joins_no_others(
    found: tuple[set[int], tuple[Candidate, ...]],
) -> None:
    """Both triggers of one word are among the finalists, by themselves."""
    tokens, candidates = found
    assert tokens <= {c.ids[0] for c in candidates if len(c.ids) == 1}
