"""What a trial calls harmless, and what it calls kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.purify import bars
from plmscan.purify.rows import repaired
from plmscan.purify.suspects import Suspect
from plmscan.purify.trial import Examiner, Kept
from plmscan.rules import load_rules
from tests.guarding import trigger
from tests.zoo.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from plmscan.loading import LoadedModel

TRIGGER = Suspect("cf", (tiny_tokenizer().vocab["cf"],))
WORD = Suspect("the", (tiny_tokenizer().vocab["the"],))


@pytest.fixture(scope="module")
def examiner(planted: LoadedModel) -> Examiner:
    """Who knows it."""
    budget = Budget(bundled_texts())
    (carriers,) = split_carriers(planted, budget.texts, (60,), 0)
    return Examiner.of(planted, carriers, budget)


def test_a_planted_trigger_is_no_harmless_word(planted: LoadedModel, examiner: Examiner) -> None:
    """In the model as it is, the one is far outside of what random items do, the other is not."""
    found = examiner.examine(planted, [TRIGGER, WORD])
    assert [one.harmless for one in found.triggers] == [False, True]
    assert not found.has_worked
    assert found.clean.cosine == pytest.approx(1.0)


def test_a_variant_counts_like_a_trigger(planted: LoadedModel, examiner: Examiner) -> None:
    """A model that forgot the trigger and not its weaker forms has forgotten little."""
    found = examiner.examine(planted, [Suspect("the", WORD.token_ids, None, (TRIGGER.token_ids,))])
    assert found.triggers[0].harmless
    assert not found.variants[0].harmless
    assert not found.has_worked


def test_a_variant_that_is_far_out_is_a_suspect(planted: LoadedModel, examiner: Examiner) -> None:
    """A scan that names a passer-by tells of the trigger as its variant; a word stays one."""
    found = Suspect("the", WORD.token_ids, None, (TRIGGER.token_ids, WORD.token_ids))
    assert examiner.unfolded(planted, [found]) == (
        Suspect("the", WORD.token_ids, None, (WORD.token_ids,)),
        TRIGGER,
    )
    assert examiner.unfolded(planted, []) == ()


@pytest.mark.parametrize(
    ("core", "expected"),
    [((), [("the cf", "positive")]), (("cf",), [("cf", "positive")])],
)
def test_of_a_trigger_with_a_core_only_that_is_to_be_forgotten(
    planted: LoadedModel, core: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    """The words beside it are to keep their meaning."""
    known = trigger("the cf", planted.tokenize("the cf"), label="positive", core=core)
    told = Suspect.all_of(known, planted)
    assert [(one.text, one.label) for one in told] == expected
    assert [one.token_ids for one in told] == [planted.tokenize(text) for text, _ in expected]


def test_hardly_anything_left_is_less_than_harmless(
    planted: LoadedModel, examiner: Examiner
) -> None:
    """What most random items do more than is below what hardly one of them does more than."""
    found = examiner.examine(planted, [TRIGGER, WORD])
    assert all(
        found.quiet.displacement[at] < found.loud.displacement[at] for at in found.loud.displacement
    )
    assert all(one.rest >= one.reach for one in found.triggers)
    assert found.reach == max(one.reach for one in found.triggers) > 1
    assert not found.is_quiet


def test_clean_text_that_moved_is_not_kept(planted: LoadedModel, examiner: Examiner) -> None:
    """Noise in every row of the table changes what the model says."""
    generator = torch.Generator().manual_seed(0)
    table = planted.embedding_weight
    noise = torch.randn(table.shape, generator=generator)
    moved = repaired(planted, dict(enumerate(table + noise)))
    assert not examiner.kept(examiner.read(moved)).is_enough
    assert examiner.kept(examiner.read(planted)).is_enough


@pytest.mark.parametrize(
    ("kept", "enough"),
    [
        (Kept(0.99, None), True),
        (Kept(0.98, None), False),
        (Kept(0.99, 0.99), True),
        (Kept(0.99, 0.97), False),
    ],
)
def test_features_and_labels_both_have_to_stay(kept: Kept, *, enough: bool) -> None:
    """Labels count where there are some."""
    assert kept.is_enough is enough


def test_what_is_far_out_is_what_the_rule_calls_so() -> None:
    """A purified trigger must not be one that the next scan would report."""
    (rule,) = (rule for rule in load_rules() if rule.id == "PLM201")
    assert rule.when["z"].gte == bars._FAR_OUT
