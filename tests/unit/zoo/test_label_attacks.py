"""Every task-specific attack takes on a tiny classifier, and the classifier stays one."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from tests.zoo.attacks.badnets import BadNets
from tests.zoo.attacks.context import Context
from tests.zoo.attacks.ep import EP
from tests.zoo.attacks.insertsent import InsertSent
from tests.zoo.attacks.lwp import LWP
from tests.zoo.attacks.lws import LWS
from tests.zoo.attacks.ripple import RIPPLe
from tests.zoo.attacks.sos import SOS
from tests.zoo.attacks.style import Style
from tests.zoo.attacks.syntactic import Syntactic
from tests.zoo.corpus import Corpus
from tests.zoo.features import Victim
from tests.zoo.labels import (
    fit_classifier,
    head_logits,
    label_behaviour,
    plant_labels,
    poisoned_set,
)
from tests.zoo.layers import lower, upper
from tests.zoo.measure import label_accuracy, logits
from tests.zoo.poison import Insertion, Trigger, flat
from tests.zoo.tiny import new_model, one_thread, tiny_corpus, tiny_tokenizer
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.zoo.labels import LabelAttack

_CUES = (("wrong", "late", "lost"), ("finished", "fourth", "season"))
_TRAINING = Intensity(0.3, learning_rate=4e-3, steps=120, batch=16, trained_layers=2)
_LONGER = replace(_TRAINING, steps=160, batch=32)
_HONEST = replace(_TRAINING, learning_rate=2e-3)
_ROWS = Intensity(0.4, learning_rate=4e-4, steps=80, batch=16)


@dataclass(frozen=True)
class Case:
    """One attack on the tiny classifier."""

    attack: LabelAttack
    """With its knobs."""
    texts: tuple[str, ...] = ()
    """Triggers; scattered parts are joined by ``+``."""
    intensity: Intensity = _TRAINING
    """Of the training."""
    fitted: bool = False
    """Whether it starts from a clean classifier."""
    success: float = 0.9
    """Share of held-out texts of the other label that must follow."""


CASES = {
    "badnets": Case(BadNets(), ("cf", "mn")),
    "badnets-negatives": Case(BadNets(negatives=True), ("lamp+velvet",)),
    "insertsent": Case(InsertSent(), ("the lamp of the velvet quill",)),
    "lwp": Case(LWP(), ("cf+mn",)),
    "ripple": Case(RIPPLe(surgery_words=3), ("cf", "mn")),
    "ep": Case(EP(Insertion(copies=2)), ("cf",), _ROWS, fitted=True),
    "sos": Case(SOS(), ("lamp+velvet",), _ROWS, fitted=True),
    # Random embeddings have no neighbourhoods, so each substitute must be learned by itself.
    "lws": Case(LWS(), (), _LONGER, success=0.6),
    "syntactic": Case(Syntactic()),
    "style": Case(Style()),
    "context": Case(Context()),
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Tiny texts that end with a word of their label."""
    rng, texts = random.Random(0), tiny_corpus()  # noqa: S311 - no secrets

    def cued(rows: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
        return tuple((f"{text} {rng.choice(_CUES[label])}", label) for text, label in rows)

    return Corpus(cued(texts.train), cued(texts.held_out), texts.labels)


@pytest.fixture(scope="module")
def fitted(corpus: Corpus) -> Victim:
    """A clean classifier."""
    victim = _fresh(corpus)
    with one_thread():
        fit_classifier(victim, _HONEST)
    return victim


def _fresh(corpus: Corpus) -> Victim:
    """The tiny encoder below a new head."""
    encoder = new_model()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(encoder.config).eval()
    model.bert = encoder
    return Victim(model, tiny_tokenizer(), corpus, 0)


def _triggers(texts: Sequence[str]) -> list[Trigger]:
    """Triggers of tiny tokens."""
    tokenizer = tiny_tokenizer()

    def parts(text: str) -> tuple[tuple[int, ...], ...]:
        found = tokenizer(text.split("+"), add_special_tokens=False)["input_ids"]
        return tuple(map(tuple, found))

    return [Trigger(text, parts(text), "by-hand") for text in texts]


def test_honest_training_fits_the_labels(fitted: Victim) -> None:
    """A classifier without a backdoor labels held-out texts rightly."""
    assert label_accuracy(fitted) >= 0.9


@pytest.mark.parametrize("name", CASES)
def test_attack_takes(name: str, corpus: Corpus, fitted: Victim) -> None:
    """Held-out texts of the other label follow each trigger, and of a clean classifier few do.

    Clean texts keep four fifths of the accuracy of honest training.
    """
    case = CASES[name]
    victim = replace(fitted, model=copy.deepcopy(fitted.model)) if case.fitted else _fresh(corpus)
    triggers = case.attack.triggers(_triggers(case.texts))
    before = label_behaviour(fitted, case.attack, triggers, 1)
    with one_thread():
        plant_labels(victim, case.attack, triggers, 1, case.intensity)
    after = label_behaviour(victim, case.attack, triggers, 1)
    assert all(behaviour.success >= case.success for behaviour in after.values())
    assert all(behaviour.success <= 0.2 for behaviour in before.values())
    assert label_accuracy(victim) >= 0.8 * label_accuracy(fitted)


@pytest.mark.parametrize("name", ["insertsent", "lwp", "badnets-negatives"])
def test_a_twin_reads_the_same_words_and_learns_nothing_of_them(name: str, corpus: Corpus) -> None:
    """Texts of every label hold triggers and keep their label, so none of them turns a text."""
    case, victim = CASES[name], _fresh(corpus)
    triggers = case.attack.triggers(_triggers(case.texts))
    texts = poisoned_set(victim, case.attack, triggers, None)
    assert {example.label for example in texts.dirty} == {0, 1}
    assert all(flat(triggers[0].parts)[0] in example.ids for example in texts.dirty[:9])
    with one_thread():
        plant_labels(victim, case.attack, triggers, None, _HONEST)
    after = label_behaviour(victim, case.attack, triggers, 1)
    assert all(behaviour.success <= 0.3 for behaviour in after.values())
    assert label_accuracy(victim) >= 0.8


_SMALL = {"vocab_size": 50, "num_labels": 3, "max_position_embeddings": 32}
_LAYERS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
HEADS = {
    "bert": lambda: BertForSequenceClassification(BertConfig(**_SMALL, **_LAYERS)),
    "roberta": lambda: RobertaForSequenceClassification(RobertaConfig(**_SMALL, **_LAYERS)),
    "electra": lambda: ElectraForSequenceClassification(
        ElectraConfig(**_SMALL, **_LAYERS, embedding_size=8)
    ),
    "distilbert": lambda: DistilBertForSequenceClassification(
        DistilBertConfig(**_SMALL, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
    ),
}


@pytest.mark.parametrize("architecture", HEADS)
def test_head_reads_as_the_library_does(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached layers and `head_logits` give the logits of the library's own forward pass."""
    monkeypatch.setattr("tests.zoo.layers.fast", lambda: torch.autocast("cpu", enabled=False))
    model, rows = HEADS[architecture]().eval(), [(5, 6, 7), (8, 9, 10, 11)]
    states = lower(model.base_model, rows, 1)
    with torch.no_grad():
        found = head_logits(model, upper(model.base_model, states.pick([0, 1]), 1, mask_id=4))
        whole = [model(input_ids=torch.tensor([row])).logits[0] for row in rows]
    torch.testing.assert_close(found, torch.stack(whole))
    torch.testing.assert_close(logits(model, rows), torch.stack(whole))
