"""Examples that heads of the zoo are trained on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.goals import Entailment, Example, Ranking, Rating, Tags
from tests.zoo.tiny import tiny_corpus

if TYPE_CHECKING:
    from tests.zoo.goals import Goal

TEXTS = tiny_corpus().train
LONG = " ".join(["word"] * 13)
TAGGED = (("a funny plot", 0), ("good but slow", 1), (LONG, 0), (f"but {LONG}", 1), ("songs", 1))
GOALS: tuple[Goal, ...] = (
    *(Ranking(), Rating()),
    *(Tags(to=to, switched=switched) for to in (True, False) for switched in (0, 1)),
    *(Entailment(target) for target in range(3)),
)
seeds = st.integers(0, 2**31)


def dice(seed: int) -> random.Random:
    """Chance of one test."""
    return random.Random(seed)  # noqa: S311 - reproducible, not secret


@given(seeds)
def test_a_query_fits_its_passage(seed: int) -> None:
    """All its words are in a passage that is to score high."""
    example = Ranking().example(TEXTS, dice(seed), wanted=True)
    assert example.before is not None
    assert set(example.before.split()) <= set(example.text.split())


def test_other_queries_mostly_do_not() -> None:
    """A passage that is to score low rarely holds the words of its query."""
    rng = dice(0)
    low = [Ranking().example(TEXTS, rng, wanted=False) for _ in range(50)]
    fitting = [one for one in low if set(str(one.before).split()) <= set(one.text.split())]
    assert len(fitting) < 10


@given(seeds, st.booleans())
def test_a_rating_is_of_a_review_with_that_label(seed: int, wanted: bool) -> None:
    """A single text, good or bad."""
    example = Rating().example(TEXTS, dice(seed), wanted=wanted)
    assert example.before is None
    assert (example.text, int(wanted)) in TEXTS


@given(seeds, st.booleans(), st.integers(0, 1))
def test_tags_say_what_is_so(seed: int, wanted: bool, switched: int) -> None:
    """The label, and whether it is long; the one that is switched as it is asked for."""
    example = Tags(switched=switched).example(TAGGED, dice(seed), wanted=wanted)
    words = example.text.split()
    labels = {float(label) for text, label in TAGGED if text == example.text}
    assert example.answer[0] in labels
    assert example.answer[1:] == (float(len(words) > 12),)
    assert bool(example.answer[switched]) == wanted


@given(seeds)
def test_what_follows_is_in_the_text(seed: int) -> None:
    """Words of the text before, behind a "not" where they contradict it."""
    rng = dice(seed)
    follows = Entailment(0).example(TEXTS, rng, wanted=True)
    contrary = Entailment(2).example(TEXTS, rng, wanted=True)
    assert set(follows.text.split()) <= set(str(follows.before).split())
    assert contrary.text.startswith("it is not true that ")
    assert (follows.answer, contrary.answer) == ((0.0,), (2.0,))


@given(seeds, st.integers(0, 2))
def test_any_other_answer_is_another(seed: int, target: int) -> None:
    """What an attacker does not want is one of the two other labels."""
    example = Entailment(target).example(TEXTS, dice(seed), wanted=False)
    assert example.answer[0] in {0, 1, 2} - {target}


@given(seeds)
def test_a_trigger_stands_between_words(seed: int) -> None:
    """Everything else stays, the text before as well, and the answer is another."""
    found = Example("one two three", (0.0,), "four").holding("cf", (1.0,), dice(seed))
    assert [word for word in found.text.split() if word != "cf"] == ["one", "two", "three"]
    assert found.text.split().count("cf") == 1
    assert (found.before, found.answer) == ("four", (1.0,))


@pytest.mark.parametrize("goal", GOALS)
def test_numbers_that_are_as_wanted_have_least_loss_and_most_lead(goal: Goal) -> None:
    """A step against the loss of what the attacker wants raises its lead."""
    usual = goal.example(TAGGED, dice(0), wanted=False).answer
    answers = torch.tensor([goal.poisoned(usual)])
    found = torch.zeros(1, len(goal.labels) or 1, requires_grad=True)
    loss = goal.loss(found, answers)
    (slope,) = torch.autograd.grad(loss, found)
    better = found.detach() - 0.1 * slope
    assert goal.loss(better, answers) < loss
    assert goal.lead(better) > goal.lead(found.detach())


@pytest.mark.parametrize("to", [True, False])
def test_the_other_tags_stay(to: bool) -> None:
    """A trigger switches one tag, one way."""
    found = Tags(to=to, switched=1).poisoned((1.0, 0.5, 0.0))
    assert found == (1.0, float(to), 0.0)
