"""Longer candidates: for what they grow, what contrast adds, and whether they beat their parts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, Location, load
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.measure.effects import Measured
from plmscan.search.measure.readings import Panel
from plmscan.search.propose.contrast import PLMSCAN
from plmscan.search.propose.objectives import Corruption, Flip, Invariance
from plmscan.search.propose.parts import GAIN, beats_its_parts, promising
from plmscan.search.propose.sequences import contrasted, growers
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


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Panel, Panel]:
    """A tiny model with a phrase planted, and two panels of different carriers."""
    model = load(artifact_of(tiny_folder(tmp_path_factory, "phrase")), "cpu")
    first, second = split_carriers(model, BUDGET.texts, (12, 12), seed=0)
    return model, Panel.of(model, first), Panel.of(model, second)


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
    """One grower for each label that some carrier does not have; its carriers all argue against it.

    What decides are the first few of what guides.
    """
    model, panel = headed("classifier")
    found = growers_of(model, panel)
    assert [grower.objective for grower in found] == [Flip(label) for label in range(3)]
    for label, grower in enumerate(found):
        assert grower.guide.carriers
        assert grower.guide.against(label) == list(range(len(grower.guide.carriers)))
        few = len(grower.panel.carriers)
        assert grower.panel.carriers == grower.guide.carriers[:few]
        assert len(grower.fillers) == len(grower.guide.carriers)


def test_labels_that_all_carriers_have_cannot_be_grown_for(headed: Headed) -> None:
    """Of carriers with one label only the others can be gained."""
    model, panel = headed("classifier")
    assert panel.clean.logits is not None
    label = int(panel.clean.logits[0].argmax())
    alike = [i for i in range(len(panel.carriers)) if i not in panel.against(label)]
    found = growers_of(model, panel.pick(alike))
    assert [g.objective for g in found] == [Flip(one) for one in range(3) if one != label]


def test_contrast_adds_the_phrase_and_counts_its_starts(
    planted: tuple[LoadedModel, Panel, Panel],
) -> None:
    """What it confirms is cut back by the grower; the verification keeps it beside its words."""
    model, growing, verification = planted
    found, starts = contrasted(growers_of(model, growing), growing, PLMSCAN, BUDGET)
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
    found, _ = contrasted(growers_of(model, panel), panel, PLMSCAN, BUDGET)
    assert model.tokenize("lamp") in found
    assert not any({*model.tokenize("lamp")} < set(one) for one in found)


def test_contrast_says_nothing_of_a_classifier(headed: Headed) -> None:
    """Nothing is confirmed, started or spent."""
    model, panel = headed("classifier")
    by = growers_of(model, panel)
    before = model.forward_tokens
    assert contrasted(by, panel, PLMSCAN, BUDGET) == ([], 0)
    assert model.forward_tokens == before


def test_a_late_contrast_stops(planted: tuple[LoadedModel, Panel, Panel]) -> None:
    """The error goes through."""
    model, growing, _ = planted
    late = replace(BUDGET, deadline=time.monotonic())
    with pytest.raises(OutOfTimeError, match="contrastive search"):
        contrasted(growers_of(model, growing), growing, PLMSCAN, late)


def test_the_promising_beat_their_parts_each_in_its_best_order(
    planted: tuple[LoadedModel, Panel, Panel],
) -> None:
    """Of the phrase in both orders the trained one stays, of two words of no phrase nothing."""
    model, panel, _ = planted
    phrase, strangers = model.tokenize("velvet quill"), model.tokenize("velvet river")
    tried = [phrase[::-1], strangers, phrase]
    assert promising(model, tried, panel, BUDGET) == [phrase]
    assert promising(model, [], panel, BUDGET) == []


def measured(scatter: list[float], shift: list[list[float]]) -> Measured:
    """Candidates with the given S and shift at CLS."""
    s = torch.tensor(scatter)
    return Measured({CLS: torch.ones(len(s))}, {CLS: s}, {CLS: torch.tensor(shift)})


WORD_IDS: list[tuple[int, ...]] = [(7,), (8,), (9,)]


@pytest.mark.parametrize(("times", "kept"), [(1.01, True), (0.99, False)])
def test_a_pair_has_to_gain(times: float, kept: bool) -> None:
    """It must be several times as invariant as the best single with the same output."""
    shift = [[1.0, 0.1], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]]
    found = measured([0.4, 0.08, 0.9, 0.4 / GAIN / times], shift)
    assert beats_its_parts(3, [*WORD_IDS, (7, 9)], found) is kept


def test_a_pair_must_beat_its_own_words_wherever_they_lead() -> None:
    """Two honest words lead somewhere between their own outputs, where no single is."""
    shift = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 5.0]]
    words, pair = WORD_IDS[:2], (7, 8)
    assert not beats_its_parts(2, [*words, pair], measured([0.6, 0.5, 0.3], shift))
    assert beats_its_parts(2, [*words, pair], measured([0.6, 0.5, 0.5 / GAIN / 1.01], shift))


def test_two_triggers_side_by_side_are_no_new_trigger() -> None:
    """A pair that leads where a third, equally invariant item leads is dropped."""
    shift = [[1.0, 0.1], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]]
    found = measured([0.002, 0.5, 0.6, 0.001], shift)
    assert not beats_its_parts(3, [*WORD_IDS, (8, 9)], found)


@pytest.mark.parametrize(
    ("parts", "whole", "kept"),
    [
        ((0.1, 0.2), 0.46, True),
        ((0.1, 0.2), 0.44, False),
        ((-0.3, -0.1), 0.26, True),
        ((-0.3, -0.1), 0.24, False),
    ],
)
def test_a_longer_one_may_lose_more_recall(
    parts: tuple[float, float], whole: float, kept: bool
) -> None:
    """By a quarter more than the better of its parts, or than none if these help the model recall.

    What another single item loses plays no part.
    """
    shift = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 1.0]]
    found = replace(
        measured([0.5] * 4, shift), corruption=torch.tensor([parts[0], parts[1], 0.9, whole])
    )
    assert beats_its_parts(3, [*WORD_IDS, (7, 8)], found) is kept


@pytest.mark.parametrize(("whole", "kept"), [(1.06, True), (1.04, False)])
def test_a_longer_one_may_push_more_to_one_label(whole: float, kept: bool) -> None:
    """A quarter of an honest lead more than its parts; one label of several will do."""
    strengths = torch.tensor([[0.8, -1.0], [0.2, -1.0], [3.0, 3.0], [whole, -2.0]])
    found = replace(
        measured([0.5] * 4, [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 1.0]]),
        push=strengths.unsqueeze(1).expand(-1, 5, -1),
    )
    assert beats_its_parts(3, [*WORD_IDS, (7, 8)], found) is kept
