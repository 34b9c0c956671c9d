"""Whether a longer candidate beats its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts
from plmscan.loading import Location
from plmscan.search.measure.effects import Measured
from plmscan.search.propose.parts import GAIN, beats_its_parts, promising

if TYPE_CHECKING:
    from plmscan.loading import LoadedModel
    from plmscan.search.measure.readings import Panel

BUDGET = Budget(bundled_texts())
CLS = Location.CLS


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
