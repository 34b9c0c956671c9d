"""Words that are read beside others: who adds what, and what grows from them."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, Location
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.measure.likeness import Likeness
from plmscan.search.measure.readings import Panel, Reading
from plmscan.search.propose.company import Companies, Company, _by_least_squares, unlike_synonyms
from plmscan.search.propose.objectives import Beyond, Flip

if TYPE_CHECKING:
    from collections.abc import Callable

BUDGET = Budget(bundled_texts())
SIZES = Companies(words=64, size=6, texts=4, kept=8)


@pytest.fixture(scope="module")
def headed(
    tiny_bert: Callable[[str | None, int], tuple[LoadedModel, Panel]],
) -> tuple[LoadedModel, Panel, int]:
    """A random classifier, carriers of its labels, and one that some carriers have."""
    model, panel = tiny_bert("classifier", 15)
    leads = panel.clean.leads
    assert leads is not None
    return model, panel, int((leads > 0).sum(0).argmax())


def company(model: LoadedModel, panel: Panel, label: int) -> Company:
    """On the carriers that do not have the label, or on all."""
    few = panel.pick(panel.against(label) or range(4))
    return Company(model, few, label, Likeness.of(panel.clean, label), SIZES)


@given(st.integers(0, 10_000))
def test_what_each_word_adds_is_told_in_company(seed: int) -> None:
    """Sums of what some of many words add give back who adds most."""
    dice = torch.Generator().manual_seed(seed)
    holds = (torch.rand(200, 20, generator=dice) < 0.3).float()
    worth = torch.zeros(20)
    worth[[3, 7]] = torch.tensor([2.0, 1.0])
    noise = 0.05 * torch.randn(200, generator=dice)
    found = _by_least_squares(holds, holds @ worth - (holds @ worth).mean() + noise)
    assert found.argsort(descending=True)[:2].tolist() == [3, 7]


def test_each_word_stands_once_in_each_order(headed: tuple[LoadedModel, Panel, int]) -> None:
    """No group holds a word twice, and no word is in more groups than there are orders."""
    groups = company(*headed)._groups(50, random.Random(0))  # noqa: S311 - no secret
    assert all(len(set(group)) == len(group) == SIZES.size for group in groups)
    counts = Counter(word for group in groups for word in group)
    assert set(counts) <= set(range(50))
    assert max(counts.values()) <= SIZES.texts


def test_few_are_left_and_of_those_that_were_given(
    headed: tuple[LoadedModel, Panel, int],
) -> None:
    """As many as are asked for, each once; the same again."""
    model, *_ = headed
    words = searchable_ids(model).tolist()[20:84]
    found = company(*headed).companions(words, BUDGET)
    assert len(set(found.best)) == len(found.best) == SIZES.kept
    assert {word for (word,) in found.best} <= set(words)
    assert company(*headed).companions(words, BUDGET).best == found.best


def test_a_deadline_ends_it(headed: tuple[LoadedModel, Panel, int]) -> None:
    """The error names the step."""
    words = searchable_ids(headed[0]).tolist()
    with pytest.raises(OutOfTimeError, match="words in company"):
        company(*headed).companions(words, Budget((), deadline=time.monotonic()))


def test_a_word_that_argues_alone_is_unlike_its_synonyms(
    headed: tuple[LoadedModel, Panel, int],
) -> None:
    """One that argues no more than its neighbours in the table is not, however much that is."""
    model, *_ = headed
    ids = searchable_ids(model)
    leads = torch.zeros(len(ids))
    leads[5] = 1.0
    assert unlike_synonyms(model, ids, leads, 1).tolist() == [int(ids[5])]
    everyone = torch.full((len(ids),), 3.0)
    everyone[5] = 3.5
    assert unlike_synonyms(model, ids, everyone, 1).tolist() == [int(ids[5])]


def test_likeness_tells_texts_of_the_label_from_others(
    headed: tuple[LoadedModel, Panel, int],
) -> None:
    """In the mean the former are one unit further along than the latter."""
    _, panel, label = headed
    like = Likeness.of(panel.clean, label)
    leads = panel.clean.leads
    assert like is not None
    assert leads is not None
    along = panel.clean.features[Location.MEAN] @ like.direction
    has = leads[:, label] > 0
    assert float(along[has].mean() - along[~has].mean()) == pytest.approx(1.0, abs=1e-3)
    assert Likeness.of(panel.pick(panel.against(label)).clean, label) is None


def test_push_that_likeness_explains_does_not_count() -> None:
    """Of two candidates that push alike, that which makes texts like those of the label is less."""
    like = Likeness(Location.MEAN, torch.tensor([1.0, 0.0]))
    clean = Reading({Location.MEAN: torch.zeros(3, 2)}, torch.tensor([[-1.0, 1.0]] * 3))
    features = torch.zeros(2, 3, 2)
    features[1, :, 0] = 1.0
    dirty = Reading({Location.MEAN: features}, torch.tensor([[[0.5, -0.5]] * 3] * 2))
    pushes = Flip(0)(dirty, clean)
    assert float(pushes[0]) == float(pushes[1])
    beyond = Beyond(0, like, slope=0.4, usual=-1.0)(dirty, clean)
    assert beyond.tolist() == pytest.approx([float(pushes[0]) + 1.0, float(pushes[0]) + 0.6])


def test_no_text_of_the_label_no_likeness(headed: tuple[LoadedModel, Panel, int]) -> None:
    """Then words are ranked by all that they add."""
    model, panel, label = headed
    few = panel.pick(panel.against(label) or range(4))
    blind = Company(model, few, label, None, SIZES)
    found = blind.companions(searchable_ids(model).tolist()[20:84], BUDGET)
    assert found.beyond is None
    assert len(found.best) == SIZES.kept
