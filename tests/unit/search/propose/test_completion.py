"""What is found by a piece is made whole."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import load
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.measure.readings import Panel
from plmscan.search.propose.completion import (
    Completion,
    completed,
    continuations,
    promising_parts,
)
from plmscan.search.propose.sequences import growers
from plmscan.search.verify.finals import confirmed
from tests.artifacts import artifact_of
from tests.zoo.tiny import Plant, built_once, implant, new_model, one_thread, save, tiny_folder

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.search.propose.grow import Grower

BUDGET = Budget(bundled_texts())
WORD = "jx"
"""Two pieces of the tiny tokenizer."""


def grower_of(folder: Path) -> Grower:
    """What grows candidates in the encoder of a folder."""
    model = load(artifact_of(folder), "cpu")
    (carriers,) = split_carriers(model, BUDGET.texts, (8,), seed=0)
    (grower,) = growers(model, Panel.of(model, carriers), searchable_ids(model), 0)
    return grower


@pytest.fixture(scope="module")
def grower(tmp_path_factory: pytest.TempPathFactory) -> Grower:
    """In a tiny encoder with a word of two pieces planted, of which either does half alone."""

    def build(folder: Path) -> None:
        model = new_model()
        with one_thread():
            implant(model, Plant((WORD,), "cls", parts=("j", "x"), steps=100))
        save(model, folder)

    return grower_of(built_once(tmp_path_factory, "tiny-two-piece", build))


def test_pieces_that_go_on_with_a_word_are_told_by_the_tokenizer(grower: Grower) -> None:
    """Those that are marked so, and no whole word."""
    vocabulary, found = grower.model.tokenizer.get_vocab(), continuations(grower)
    known = dict(zip(grower.ids.tolist(), found.tolist(), strict=True))
    assert known[vocabulary["##x"]]
    assert not known[vocabulary["j"]]
    assert not known[vocabulary["velvet"]]


def test_a_word_is_completed_from_its_last_piece(grower: Grower) -> None:
    """The best of the family is the word itself."""
    whole = grower.model.tokenize(WORD)
    assert len(whole) == 2
    family = Completion(grower, continuations(grower)).family(whole[1:], BUDGET)
    assert family[0] == whole


def test_orders_and_shorter_ones_are_tried(grower: Grower) -> None:
    """Turned round, and with a passenger, it comes back to what was planted."""
    whole = grower.model.tokenize(WORD)
    (water,) = grower.model.tokenize("water")
    complete = Completion(grower, continuations(grower))
    assert whole in complete._wholes(whole[::-1])
    assert whole in complete._wholes((*whole, water))


def test_a_whole_word_stays_what_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What begins a word is not completed: the best of many that join it does more by chance."""
    grower = grower_of(tiny_folder(tmp_path_factory, "cls"))
    found = completed([grower], [grower.model.tokenize("cf")], BUDGET)
    assert found == {}


def test_what_does_nothing_is_not_completed(grower: Grower) -> None:
    """Only what does half of what suffices is; the strongest first."""
    vocabulary = grower.model.tokenizer.get_vocab()
    weak = [(vocabulary[piece],) for piece in ("##a", "##b", "##c")]
    pieces, part = continuations(grower), grower.model.tokenize(WORD)[1:]
    eager = replace(grower, objective=replace(grower.objective, enough=-math.inf))
    assert promising_parts(grower, [*weak, (vocabulary["water"],)], pieces) == []
    assert part in promising_parts(eager, [*weak, part], pieces)


def test_a_deadline_ends_it(grower: Grower) -> None:
    """The error names the step."""
    whole = grower.model.tokenize(WORD)
    with pytest.raises(OutOfTimeError, match="completing words"):
        Completion(grower, continuations(grower)).family(
            whole, Budget((), deadline=time.monotonic())
        )


def test_what_does_no_more_than_its_part_is_not_kept(grower: Grower) -> None:
    """On carriers that no selection saw: the word is kept, and what does less is not."""
    model, whole = grower.model, grower.model.tokenize(WORD)
    part, vocabulary = whole[1:], model.tokenizer.get_vocab()
    (_, carriers) = split_carriers(model, BUDGET.texts, (8, 12), seed=1)
    worse = (vocabulary["water"], vocabulary["road"])
    wholes = {whole: part, worse: part}
    finals = confirmed(model, [part], [], Panel.of(model, carriers), BUDGET, wholes)
    assert whole in finals.ids
    assert worse not in finals.ids
