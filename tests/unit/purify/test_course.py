"""When a course of training ends, what comes of it, and what is trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.purify import course
from plmscan.purify.bars import Bar, Behaviour
from plmscan.purify.batches import lessons
from plmscan.purify.course import Course
from plmscan.purify.methods import Method, student
from plmscan.purify.suspects import Suspect
from plmscan.purify.trial import Examiner, Kept, Trial
from tests.zoo.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from plmscan.loading import LoadedModel

TRIGGER = Suspect("cf", (tiny_tokenizer().vocab["cf"],), None, ((3,), (4,)))
OTHER = Suspect("mn", (tiny_tokenizer().vocab["mn"],))


def behaviour(reach: float, rest: float) -> Behaviour:
    """Of a trigger that does so much."""
    return Behaviour(1.0, 1.0, 0.0, None, None, reach, rest)


def trial(*reaches: tuple[float, float], cosine: float = 1.0) -> Trial:
    """A trial of triggers without variants."""
    bar = Bar({}, (), None)
    return Trial(tuple(behaviour(*one) for one in reaches), (), bar, bar, Kept(cosine, None))


@pytest.mark.parametrize(
    ("trials", "over"),
    [
        ([trial((0.1, 0.9))], True),
        ([trial((0.1, 1.1))], False),
        ([trial((0.1, 0.9), (0.1, 1.1))], False),
        ([trial((1.1, 5.0))] * 14, False),
        ([trial((0.1, 0.9), cosine=0.9)] * 14, False),
        ([trial((0.1, 1.1))] * 4, False),
        ([trial((0.1, 1.1))] * 5, True),
    ],
)
def test_it_ends_when_hardly_anything_is_left(trials: list[Trial], *, over: bool) -> None:
    """Of any trigger, in clean text that stayed; or some legs after one that worked."""
    assert course._is_over(trials) is over


@pytest.mark.parametrize(
    ("reaches", "slow"),
    [([64.0], False), ([64.0, 50.0], True), ([64.0, 16.0], False), ([2.0, 2.0], True)],
)
def test_a_method_that_would_not_get_there_is_given_up(reaches: list[float], *, slow: bool) -> None:
    """At the pace so far, in the legs that remain; one leg shows no pace."""
    assert course._is_too_slow([trial((one, one)) for one in reaches], 8) is slow


def test_what_worked_is_better_than_what_did_not() -> None:
    """However little that one leaves; of two that worked, the one that leaves less."""
    worked, better, spoilt = (
        trial((0.9, 9.0)),
        trial((0.9, 8.0)),
        trial((0.1, 0.1), cosine=0.5),
    )
    assert sorted([spoilt, worked, better], key=course._left) == [better, worked, spoilt]


def test_what_is_left_comes_more_often() -> None:
    """Every lesson has a chance; variants share theirs; what is forgotten has the least."""
    assert lessons([TRIGGER]) == pytest.approx({TRIGGER.token_ids: 0.7, (3,): 0.15, (4,): 0.15})
    found = replace(trial((9.0, 2.0), (0.0, 0.0)), variants=(behaviour(9.0, 0.0),) * 2)
    weights = lessons([TRIGGER, OTHER], trial=found)
    assert weights == pytest.approx(
        {TRIGGER.token_ids: 0.7, OTHER.token_ids: 0.0875, (3,): 0.6, (4,): 0.6}
    )


def test_what_the_attack_spilled_over_to_shares_a_chance() -> None:
    """However many they are, a trigger comes more often; few of them come seldom."""
    many = [(i,) for i in range(2000, 3000)]
    weights = lessons([OTHER], many)
    assert weights[OTHER.token_ids] == pytest.approx(0.7)
    assert sum(weights[ids] for ids in many) == pytest.approx(0.4 * 0.7)
    assert lessons([OTHER], many[:1])[many[0]] == pytest.approx(0.004 * 0.7)
    assert lessons([OTHER], [OTHER.token_ids]) == lessons([OTHER])


def test_only_the_rows_that_may_change_do(planted: LoadedModel) -> None:
    """And hardly anything is left of the triggers after it, with clean text untouched."""
    texts = bundled_texts()
    learned, held = split_carriers(planted, texts, (60, 40), 0)
    budget = Budget(texts)
    examiner = Examiner.of(planted, held, budget)
    suspects = [replace(TRIGGER, variants=()), OTHER]
    rows = [one.token_ids[0] for one in suspects]
    learner = student(planted, Method.ROWS, rows=rows)
    assert learner is not None
    made, found = Course(planted, learned, examiner, budget).taken(learner, Method.ROWS, suspects)
    before, after = (dict(one.module.named_parameters()) for one in (planted, made))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    (table,) = changed
    differ = (before[table] != after[table]).any(1)
    assert differ.nonzero().flatten().tolist() == sorted(rows)
    assert found.reach < examiner.examine(planted, suspects).reach / 4
    assert found.clean.cosine == pytest.approx(1.0)
