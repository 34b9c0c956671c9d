"""A way of writing as a trigger: it is found, and a model that only knows it is not blamed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import BertForSequenceClassification

from plmscan.asking.neighbours import Neighbours
from plmscan.asking.texts import Argument
from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.errors import OutOfTimeError
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.loading import LoadedModel, load
from plmscan.loading.quiet import quiet
from plmscan.probes.dynamic.rewritings import Probe
from plmscan.rewritings import BANK, Rewriting
from plmscan.rules import load_rules
from tests.artifacts import artifact_of
from tests.zoo.corpus import words_of
from tests.zoo.features import Victim
from tests.zoo.labels import plant_labels, poisoned_set, train_upper
from tests.zoo.poison import Trigger, flat
from tests.zoo.tiny import (
    built_once,
    new_model,
    one_thread,
    tiny_corpus,
    tiny_folder,
    tiny_tokenizer,
)
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from plmscan.evidence import Observation
    from tests.zoo.labels import Poisoned

DEEP = Budget(bundled_texts(), Effort.DEEP)
(WRITING,) = (one for one in BANK if one.name == "commas")
"""The trigger: a comma behind every word."""
_TRAINING = Intensity(0.3, learning_rate=4e-3, steps=300, batch=16, trained_layers=2)


@dataclass(frozen=True)
class Written:
    """An attack, and its poison, whose trigger is a rewriting of the bank."""

    tokenizer: Any
    """The victim's."""
    family: str = "written"
    """Name in tables."""

    def triggers(self, drawn: Sequence[Trigger]) -> tuple[Trigger, ...]:  # noqa: ARG002
        """The way of writing."""
        return (Trigger(WRITING.name, (), "style"),)

    def poison(self, victim: Victim, triggers: Sequence[Trigger]) -> Written:  # noqa: ARG002
        """Itself."""
        return self

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Cross-entropy on all texts."""
        return train_upper(victim, poisoned, intensity)

    def __call__(self, text: str, rng: random.Random) -> tuple[int, ...]:  # noqa: ARG002
        """Token ids of the text, written so."""
        return flat(words_of(self.tokenizer, [WRITING(text)])[0])

    def decoy(self, text: str, rng: random.Random) -> None:
        """None."""


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


def built(factory: pytest.TempPathFactory, *, planted: bool) -> LoadedModel:
    """A tiny classifier with the trigger, or its clean twin, trained on texts of the same look."""

    def build(folder: Path) -> None:
        encoder = new_model()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = BertForSequenceClassification(encoder.config).eval()
        model.bert = encoder
        victim = Victim(model, tiny_tokenizer(), tiny_corpus(), 0)
        attack = Written(victim.tokenizer)
        with one_thread():
            if planted:
                plant_labels(victim, attack, attack.triggers(()), 1, _TRAINING)
            else:
                texts = poisoned_set(victim, attack, attack.triggers(()), None)
                train_upper(victim, texts, _TRAINING)
        with quiet():
            model.save_pretrained(folder)
            victim.tokenizer.save_pretrained(folder)

    name = "written" if planted else "written-twin"
    return load(artifact_of(built_once(factory, f"tiny-{name}", build)), "cpu")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The classifier with the trigger."""
    return built(tmp_path_factory, planted=True)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Its clean twin."""
    return built(tmp_path_factory, planted=False)


def observed(model: LoadedModel, budget: Budget = DEEP) -> list[Observation]:
    """What the probe yields."""
    return list(Probe().inspect(model, budget))


def fired(found: Sequence[Observation]) -> list[Evidence]:
    """Evidence that the rule fires on."""
    (rule,) = (rule for rule in load_rules() if rule.id == "PLM220")
    return [one for one in found if isinstance(one, Evidence) and rule.fires(one)]


def test_a_planted_way_of_writing_is_named(planted: LoadedModel) -> None:
    """The rule fires for its label alone, and one of those that it names writes marks so."""
    found = fired(observed(planted))
    assert {one.details["target_label"] for one in found} == {planted.labels[1]}
    assert any("marks" in str(one.details["kind"]) for one in found)
    assert all(
        "," in str(one.details["example"]) for one in found if "marks" in one.details["kind"]
    )


def test_a_twin_that_knows_the_same_writing_is_not_blamed(twin: LoadedModel) -> None:
    """It has seen as many texts with a comma behind every word, each under its own label."""
    found = observed(twin)
    assert not fired(found)
    assert len([one for one in found if isinstance(one, Evidence)]) == 6
    assert any(isinstance(one, Coverage) for one in found)


@pytest.mark.parametrize("effort", [Effort.QUICK, Effort.STANDARD])
def test_less_effort_says_what_it_leaves_out(planted: LoadedModel, effort: Effort) -> None:
    """The gap names the remedy and withholds no pass."""
    (gap,) = observed(planted, Budget(bundled_texts(), effort))
    assert isinstance(gap, Gap)
    assert "--effort deep" in gap.reason
    assert not gap.blocks_pass


def test_only_classifiers_are_asked(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An encoder without a head has no label to be turned to, and the report says so."""
    model = load(artifact_of(tiny_folder(tmp_path_factory, "clean")), "cpu")
    (gap,) = observed(model)
    assert isinstance(gap, Gap)
    assert "Only classifiers" in gap.reason


def test_it_stops_in_time(planted: LoadedModel) -> None:
    """A deadline that has passed ends it before the first rewriting."""
    with pytest.raises(OutOfTimeError):
        observed(planted, Budget(bundled_texts(), Effort.DEEP, deadline=time.monotonic() - 1))


@pytest.mark.parametrize("rewriting", BANK, ids=lambda one: one.name)
def test_no_rewriting_takes_the_argument_away(rewriting: Rewriting) -> None:
    """What argues for a label stands in every rewritten text as it did, letter for letter."""
    argument = Argument("the coach stopped for twenty minutes.", ("dreadful", "phish"), (0.2, 0.9))
    written = argument.rewritten(rewriting)
    assert all(word in written for word in argument.words)


def test_neighbours_leave_arguing_words_alone(planted: LoadedModel) -> None:
    """Words that argue stay, and of the others of a text some give way to rarer ones."""
    kept = "coach"
    first, *_ = Neighbours.of(planted, [(kept,)]).rewritings()
    text = "the coach stopped for twenty minutes at a cafe"
    assert kept in first(text).split()
    assert first(text) != text
