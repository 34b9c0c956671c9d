"""Pairs of far-out items, and the null that they are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.loading import Location, load
from plmscan.search.grow import GAIN, grow_pairs, improving, random_items
from plmscan.search.verify import Measured, measure
from tests.artifacts import artifact_of
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    Grow = Callable[[str, list[str]], list[str]]

BUDGET = Budget(bundled_texts())


@pytest.fixture
def grow(tmp_path_factory: pytest.TempPathFactory) -> Grow:
    """Texts of the pairs that grow from words in a model of the zoo."""

    def pairs_of(name: str, words: list[str]) -> list[str]:
        model = load(artifact_of(tiny_folder(tmp_path_factory, name)), "cpu")
        (carriers,) = split_carriers(model, BUDGET.texts, (12,), seed=0)
        singles = [model.tokenize(word) for word in words]
        found = measure(model, singles, carriers, BUDGET, "test")
        pairs = grow_pairs(model, singles, found, carriers, len(words), BUDGET)
        return [model.decode(pair) for pair in pairs]

    return pairs_of


def test_the_words_of_a_phrase_grow_together(grow: Grow) -> None:
    """The phrase comes first or, its words swapped, second; pairs with other words do not come."""
    assert set(grow("phrase", ["quill", "water", "velvet"])[:2]) == {"velvet quill", "quill velvet"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("cls", ["cf", "mn", "water"]), ("clean", ["velvet", "quill", "water", "road"])],
)
def test_nothing_grows_where_no_phrase_is(grow: Grow, name: str, words: list[str]) -> None:
    """Two single-token triggers side by side are no new trigger, nor are honest words."""
    assert grow(name, words) == []


def test_one_word_makes_no_pair(grow: Grow) -> None:
    """There is nothing to join."""
    assert grow("clean", ["water"]) == []


def measured(scatter: list[float], shift: list[list[float]]) -> Measured:
    """Candidates with the given S and shift at CLS."""
    return Measured(
        {Location.CLS: torch.ones(len(scatter))},
        {Location.CLS: torch.tensor(scatter)},
        {Location.CLS: torch.tensor(shift)},
    )


@pytest.mark.parametrize(("times", "kept"), [(GAIN * 1.01, True), (GAIN * 0.99, False)])
def test_a_pair_has_to_gain(times: float, kept: bool) -> None:
    """It must be `GAIN` times as invariant as the best single with the same output."""
    singles = measured([0.4, 0.08], [[1.0, 0.1], [0.0, 1.0]])
    pair = measured([0.4 / times], [[1.0, 0.0]])
    assert improving([(7, 9)], pair, [(7,), (8,)], singles).tolist() == [kept]


def test_every_pair_is_judged_by_itself() -> None:
    """One mask entry a pair, in their order."""
    singles = measured([0.4, 0.4], [[1.0, 0.0], [0.0, 1.0]])
    pairs = measured([0.01, 0.39, 0.01], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = improving([(7, 9), (9, 7), (8, 9)], pairs, [(7,), (8,)], singles)
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_the_null_is_drawn_from_the_ids(pieces: int) -> None:
    """Sequences of the asked length and number, from the given ids, by the seed alone."""
    ids = torch.tensor([3, 5, 8, 13])
    drawn = random_items(ids, pieces, 50, seed=1)
    assert len(drawn) == 50
    assert {len(item) for item in drawn} == {pieces}
    assert {i for item in drawn for i in item} == {3, 5, 8, 13}
    assert drawn == random_items(ids, pieces, 50, seed=1)
    assert drawn != random_items(ids, pieces, 50, seed=2)


def test_the_global_dice_are_left_alone() -> None:
    """Drawing the null does not disturb the caller's random state."""
    before = torch.random.get_rng_state()
    random_items(torch.arange(9), 2, 5, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
