"""Longer candidates: for what they grow, and what contrast adds."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, Location, load
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.measure.effects import measure
from plmscan.search.measure.readings import Panel
from plmscan.search.propose.contrast import PLMSCAN
from plmscan.search.propose.objectives import Corruption, Flip, Invariance
from plmscan.search.propose.sequences import contrasted, growers, sufficient
from plmscan.search.verify.finals import confirmed
from tests.artifacts import artifact_of
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.search.propose.grow import Grower

    Headed = Callable[[str | None], tuple[LoadedModel, Panel]]

BUDGET = Budget(bundled_texts())
CLS = Location.CLS


@pytest.fixture(scope="module")
def headed(tiny_bert: Callable[[str | None, int], tuple[LoadedModel, Panel]]) -> Headed:
    """A random BERT with a head, and fifteen carriers in its own words."""
    return lambda head: tiny_bert(head, 15)


def growers_of(model: LoadedModel, panel: Panel) -> list[Grower]:
    """Over the whole vocabulary."""
    return growers(model, panel, searchable_ids(model), seed=0)


def test_a_bare_encoder_can_only_be_made_invariant(headed: Headed) -> None:
    """There are no labels to flip and no words to recall."""
    assert [grower.objective for grower in growers_of(*headed(None))] == [Invariance()]


def test_a_masked_language_model_can_lose_its_recall_as_well(headed: Headed) -> None:
    """Which is an aim of its own."""
    found = growers_of(*headed("masked-lm"))
    assert [grower.objective for grower in found] == [Invariance(), Corruption()]


def test_labels_are_the_only_aim_in_a_classifier(headed: Headed) -> None:
    """One grower for each label that some carrier does not have; all its carriers have another."""
    model, panel = headed("classifier")
    found = growers_of(model, panel)
    assert [grower.objective for grower in found] == [Flip(label) for label in range(3)]
    for label, grower in enumerate(found):
        assert grower.panel.carriers
        assert grower.panel.against(label) == list(range(len(grower.panel.carriers)))
        assert len(grower.fillers) == len(grower.panel.carriers)


def test_labels_that_all_carriers_have_cannot_be_grown_for(headed: Headed) -> None:
    """Of carriers with one label only the others can be gained."""
    model, panel = headed("classifier")
    assert panel.clean.leads is not None
    label = int(panel.clean.leads[0].argmax())
    alike = [i for i in range(len(panel.carriers)) if i not in panel.against(label)]
    found = growers_of(model, panel.pick(alike))
    assert [g.objective for g in found] == [Flip(one) for one in range(3) if one != label]


def test_contrast_adds_the_phrase_and_counts_its_starts(
    planted: tuple[LoadedModel, Panel, Panel],
) -> None:
    """What it confirms is cut back by the grower; the verification keeps it beside its words."""
    model, growing, verification = planted
    found, starts = contrasted(growers_of(model, growing), growing, PLMSCAN, (), BUDGET)
    phrase = {i for word in ("velvet", "quill") for i in model.tokenize(word)}
    (whole, *_) = [one for one in found if set(one) == phrase]
    assert starts == 2
    finals = confirmed(model, [model.tokenize("water")], found, verification, BUDGET)
    assert whole in finals.ids
    assert {model.tokenize("water"), *((token,) for token in phrase)} <= set(finals.ids)


def test_contrast_cuts_passengers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A trigger of one token that it confirmed with another beside it comes back alone."""
    model = load(artifact_of(tiny_folder(tmp_path_factory, "mean")), "cpu")
    panel = Panel.of(model, split_carriers(model, BUDGET.texts, (12,), seed=0)[0])
    found, _ = contrasted(growers_of(model, panel), panel, PLMSCAN, (), BUDGET)
    assert model.tokenize("lamp") in found
    assert not any({*model.tokenize("lamp")} < set(one) for one in found)


def test_contrast_does_not_look_for_what_is_known(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A trigger that the sweep found alone is not found again, and its round ends the search."""
    model = load(artifact_of(tiny_folder(tmp_path_factory, "mean")), "cpu")
    panel = Panel.of(model, split_carriers(model, BUDGET.texts, (12,), seed=0)[0])
    lamp, water = (model.tokenize(word) for word in ("lamp", "water"))
    screened = measure(model, [water, lamp], panel, BUDGET, "screening")
    assert sufficient([water, lamp], screened, 3) == [lamp]
    found, starts = contrasted(growers_of(model, panel), panel, PLMSCAN, [lamp], BUDGET)
    assert (found, starts) == ([], 1)


def test_contrast_says_nothing_of_a_classifier(headed: Headed) -> None:
    """Nothing is confirmed, started or spent."""
    model, panel = headed("classifier")
    by = growers_of(model, panel)
    before = model.forward_tokens
    assert contrasted(by, panel, PLMSCAN, (), BUDGET) == ([], 0)
    assert model.forward_tokens == before


def test_a_late_contrast_stops(planted: tuple[LoadedModel, Panel, Panel]) -> None:
    """The error goes through."""
    model, growing, _ = planted
    late = replace(BUDGET, deadline=time.monotonic())
    with pytest.raises(OutOfTimeError, match="contrastive search"):
        contrasted(growers_of(model, growing), growing, PLMSCAN, (), late)
