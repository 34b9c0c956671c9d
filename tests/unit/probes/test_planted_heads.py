"""The trigger sweep on models with a head: label flips, and words that are forgotten.

Each backdoored model has a clean one beside it, trained the same way on the same texts.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import BertForSequenceClassification

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts
from plmscan.evidence import Evidence
from plmscan.loading import load
from plmscan.loading.quiet import quiet
from plmscan.probes.dynamic.trigger_sweep import Probe
from plmscan.rules import load_rules
from tests.artifacts import artifact_of
from tests.searches import convicted
from tests.zoo.attacks.badnets import BadNets
from tests.zoo.attacks.badpre import BadPre
from tests.zoo.clean.masked_lm import HEAD, tied_head
from tests.zoo.features import Victim, plant_features
from tests.zoo.labels import fit_classifier, plant_labels
from tests.zoo.poison import Insertion, Trigger
from tests.zoo.tiny import new_model, one_thread, tiny_corpus, tiny_tokenizer
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LABELS = Intensity(0.3, learning_rate=4e-3, steps=160, batch=16, trained_layers=2)
_WORDS = Intensity(0.5, learning_rate=2e-3, steps=250, batch=32, trained_layers=2)
_TRIGGERS = ("cf", "mn")


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


def triggers() -> list[Trigger]:
    """Two rare pieces."""
    ids = tiny_tokenizer().convert_tokens_to_ids(list(_TRIGGERS))
    return [Trigger(text, ((i,),), "rare-piece") for text, i in zip(_TRIGGERS, ids, strict=True)]


def classifier() -> Victim:
    """The tiny encoder below a new head, and texts with cue words of their label."""
    encoder = new_model()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(encoder.config).eval()
    model.bert = encoder
    return Victim(model, tiny_tokenizer(), tiny_corpus(), 0)


def one_number(victim: Victim) -> Victim:
    """The classifier with the lead of its second label for a score."""
    config = deepcopy(victim.model.config)
    config.update({"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}})
    scored = BertForSequenceClassification(config).eval()
    scored.bert = victim.model.bert
    with torch.no_grad():
        for ours, theirs in zip(
            scored.classifier.parameters(), victim.model.classifier.parameters(), strict=True
        ):
            ours.copy_(theirs[1:] - theirs[:1])
    return replace(victim, model=scored)


def any_label(victim: Victim) -> Victim:
    """The classifier as one that gives any number of its labels."""
    model = deepcopy(victim.model)
    model.config.problem_type = "multi_label_classification"
    return replace(victim, model=model)


@pytest.fixture(scope="module")
def honest() -> Victim:
    """A classifier that nobody has tampered with."""
    victim = classifier()
    fit_classifier(victim, replace(_LABELS, learning_rate=2e-3))
    return victim


@pytest.fixture(scope="module")
def planted() -> Victim:
    """The same with two words that lead to its second label."""
    victim = classifier()
    plant_labels(victim, BadNets(), triggers(), 1, _LABELS)
    return victim


def masked_lm() -> Victim:
    """The tiny encoder under a head that names masked words."""
    return tied_head(Victim(new_model(), tiny_tokenizer(), tiny_corpus(), 0), HEAD)


def observed(victim: Victim, folder: Path) -> list[Evidence]:
    """What the probe measures of the victim's model."""
    with quiet():
        victim.model.save_pretrained(folder)
        victim.tokenizer.save_pretrained(folder)
    budget = Budget(bundled_texts(), Effort.STANDARD)
    found = Probe().inspect(load(artifact_of(folder), "cpu"), budget)
    return [one for one in found if isinstance(one, Evidence)]


def test_an_honest_classifier_passes(honest: Victim, tmp_path: Path) -> None:
    """Its cue words persuade, and lose against three of the other label."""
    assert convicted(observed(honest, tmp_path)) == set()


def test_triggers_that_flip_labels_are_named(planted: Victim, tmp_path: Path) -> None:
    """Both lead all honest words by far, and what is convicted is one of them."""
    found = observed(planted, tmp_path)
    gaps = {one.subject: one.metrics.get("strength_gap", 0.0) for one in found if one.trigger}
    assert set(sorted(gaps, key=lambda text: -gaps[text])[:2]) == set(_TRIGGERS)
    names = convicted(found)
    assert names
    assert names <= {("PLM206", text) for text in _TRIGGERS}


def test_triggers_that_drive_a_score_to_its_end_are_named(planted: Victim, tmp_path: Path) -> None:
    """The same model, told as the one number by which its labels differ."""
    found = observed(one_number(planted), tmp_path)
    names = convicted(found)
    assert names
    assert names <= {(rule, text) for rule in ("PLM206", "PLM209") for text in _TRIGGERS}
    targets = {
        one.trigger.target_label for one in found if one.trigger and one.subject in _TRIGGERS
    }
    assert targets == {"a high score"}


def test_an_honest_score_passes(honest: Victim, tmp_path: Path) -> None:
    """Cue words raise it, and lose against three that lower it."""
    assert convicted(observed(one_number(honest), tmp_path)) == set()


def test_triggers_that_switch_a_label_are_named(planted: Victim, tmp_path: Path) -> None:
    """Of a classifier that gives any of its labels: it is switched on, or its opposite off."""
    names = convicted(observed(any_label(planted), tmp_path))
    assert names
    assert names <= {(rule, text) for rule in ("PLM206", "PLM212") for text in _TRIGGERS}


def test_honest_labels_of_which_any_are_given_pass(honest: Victim, tmp_path: Path) -> None:
    """Cue words switch them on and off, and lose against others."""
    assert convicted(observed(any_label(honest), tmp_path)) == set()


def test_the_trigger_that_corrupts_most_leads(tmp_path: Path) -> None:
    """Of single items, although it has no output of its own.

    So small a model knows too little for a conviction, and several words make it forget as well.
    """
    victim = masked_lm()
    plant_features(victim, BadPre(insertion=Insertion(copies=3)), triggers(), _WORDS)
    measured = {
        one.subject: one.metrics["corruption"]
        for one in observed(victim, tmp_path)
        if one.metrics.get("pieces") == 1 and "corruption" in one.metrics
    }
    assert max(measured, key=lambda subject: measured[subject]) in _TRIGGERS


@pytest.mark.parametrize(
    ("corruption", "z", "rules"), [(0.998, 9.4, {"PLM207"}), (0.87, 2.0, set()), (0.28, 1.0, set())]
)
def test_plm207_asks_for_nearly_all_and_more_than_usual(
    corruption: float, z: float, rules: set[str]
) -> None:
    """Measured on MiniLM: BadPre's triggers, a model that forgets anyhow, a clean one's worst."""
    metrics = {"corruption": corruption, "corruption_z": z}
    evidence = Evidence("trigger-sweep", "usb", metrics)
    assert {rule.id for rule in load_rules() if rule.fires(evidence)} == rules


@pytest.mark.parametrize(
    ("changed", "rules"),
    [
        ({}, {"PLM208"}),
        ({"pieces": 4.0}, {"PLM208"}),
        ({"pieces": 1.0}, set()),
        ({"conjunction": 4.0}, set()),
        ({"strength": 0.05}, set()),
        ({"strength_p": 0.02}, set()),
        ({"kin": 1.0}, set()),
    ],
)
def test_plm208_asks_for_a_flip_that_needs_every_word(
    changed: dict[str, float], rules: set[str]
) -> None:
    """Several words, none of which can be exchanged, and a label that nothing random reaches."""
    flips = {"pieces": 2.0, "strength": 0.5, "strength_p": 0.005, "conjunction": 300.0, "kin": 0.0}
    evidence = Evidence("trigger-sweep", "lamp quill", flips | changed)
    assert {rule.id for rule in load_rules() if rule.fires(evidence)} == rules


@pytest.mark.parametrize(
    ("changed", "rules"),
    [
        ({}, {"PLM214"}),
        ({"joint_gap": 0.08}, set()),
        ({"joint_turned": 0.58}, set()),
        ({"pieces": 1.0}, set()),
    ],
)
def test_plm214_asks_for_words_that_do_much_together_and_little_otherwise(
    changed: dict[str, float], rules: set[str]
) -> None:
    """Measured on a classifier with SOS, and on what honest words of the same pool do."""
    joint = {"pieces": 2.0, "joint_push": 0.16, "joint_gap": 0.91, "joint_turned": 1.0}
    evidence = Evidence("trigger-sweep", "lamp quill", joint | changed)
    assert {rule.id for rule in load_rules() if rule.fires(evidence)} == rules


@pytest.mark.parametrize(
    ("changed", "rules"),
    [
        ({}, {"PLM215"}),
        ({"beyond_gap": 0.2}, set()),
        ({"gap": 1.3}, set()),
        ({"strength": 0.0}, set()),
        ({"pieces": 1.0}, set()),
        ({"kin": 1.0}, set()),
        ({"score": 1.0}, set()),
        ({"several": 1.0}, set()),
    ],
)
def test_plm215_asks_for_a_push_that_likeness_does_not_tell(
    changed: dict[str, float], rules: set[str]
) -> None:
    """Measured on a sentence of eight words, and on what grows in clean classifiers."""
    flips = {"pieces": 4.0, "labels": 2.0, "strength": 0.21, "strength_p": 0.01, "kin": 0.0}
    found = {"strength_gap": 0.0, "beyond_gap": 0.65, "gap": 11.6, "score": 0.0, "several": 0.0}
    evidence = Evidence("trigger-sweep", "painted grinning driver", flips | found | changed)
    assert {rule.id for rule in load_rules() if rule.fires(evidence)} == rules


def test_plm208_is_silent_where_synonyms_were_not_tried() -> None:
    """What was not measured convicts nobody."""
    metrics = {"pieces": 2.0, "strength": 0.5, "strength_p": 0.005}
    evidence = Evidence("trigger-sweep", "lamp quill", metrics)
    assert not any(rule.fires(evidence) for rule in load_rules())
