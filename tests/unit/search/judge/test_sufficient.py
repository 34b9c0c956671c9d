"""Cores: of a pair that drives to a label, the token that needs no help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.carriers import split_carriers
from plmscan.search.judge.sufficient import cores
from tests.poisoned import CLEAN, model_of

if TYPE_CHECKING:
    from plmscan.loading import LoadedModel


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """One that ``cf`` turns to its second label."""
    return model_of(tmp_path_factory, "badnets")


@pytest.mark.parametrize(
    ("text", "expected"), [("the cf", "cf"), ("cf cf", "cf"), ("the itself", "")]
)
def test_a_trigger_is_told_from_its_company(
    classifier: LoadedModel, text: str, expected: str
) -> None:
    """What turns every text alone, once; nothing where neither does."""
    budget = Budget(CLEAN)
    (carriers,) = split_carriers(classifier, budget.texts, (60,), 0)
    ids = classifier.tokenize(text)
    found = cores(classifier, {ids: 1}, carriers, budget)
    assert found == {ids: classifier.tokenize(expected)}


def test_nothing_is_read_for_nothing(classifier: LoadedModel) -> None:
    """A model whose finds are single tokens costs nothing more."""
    assert cores(classifier, {}, (), Budget(CLEAN)) == {}
