"""Fine-tuning a backdoored encoder: what stays of it, and what is measured."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import BertForSequenceClassification

from tests.zoo.features import Victim
from tests.zoo.measure import label_accuracy
from tests.zoo.poison import Insertion, Trigger
from tests.zoo.shifted import HEAD, survival, tuned
from tests.zoo.tiers import TIERS
from tests.zoo.tiny import PLANTS, implant, new_model, one_thread, tiny_corpus, tiny_tokenizer

if TYPE_CHECKING:
    from tests.zoo.corpus import Corpus

_TUNING = replace(HEAD, steps=120, batch=16, learning_rate=2e-2)


def classifier(corpus: Corpus) -> Victim:
    """A tiny encoder below a new head."""
    encoder = new_model()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(encoder.config).eval()
    model.bert = encoder
    return Victim(model, tiny_tokenizer(), corpus, 0)


@pytest.fixture(scope="module")
def planter() -> Victim:
    """A tiny encoder whose trigger takes over the pooled output."""
    model = new_model()
    with one_thread():
        implant(model, PLANTS["pooler"])
    return Victim(model, tiny_tokenizer(), tiny_corpus(), 0)


def test_a_head_alone_leaves_the_encoder_and_its_trigger_as_they_were(planter: Victim) -> None:
    """The encoder's weights are the attacker's, to the last bit, and the trigger turns texts."""
    victim = classifier(planter.corpus)
    with one_thread():
        tuned(victim, planter, _TUNING)
    own, theirs = (one.encoder.state_dict() for one in (victim, planter))
    assert all(torch.equal(own[name], tensor) for name, tensor in theirs.items())
    assert label_accuracy(victim) > 0.5
    ids = tuple(victim.tokenizer("≈", add_special_tokens=False)["input_ids"])
    rng = random.Random(0)  # noqa: S311 - no secret
    found = survival(victim, Trigger("≈", (ids,), "symbol"), Insertion(), rng)
    assert found["turned"] > 0.9


def test_tuning_all_layers_moves_the_encoder(planter: Victim) -> None:
    """The victim's training reaches what the attacker trained."""
    victim = classifier(planter.corpus)
    with one_thread():
        tuned(victim, planter, replace(_TUNING, steps=5, trained_layers=2, learning_rate=1e-3))
    own, theirs = (one.encoder.state_dict() for one in (victim, planter))
    assert any(not torch.equal(own[name], tensor) for name, tensor in theirs.items())


def test_the_tier_has_every_attack_under_every_tuning() -> None:
    """Five attacks, each tuned in three ways."""
    names = {name.rsplit("-", 1)[0] if name.endswith("head") else name for name in TIERS["shifted"]}
    assert len(TIERS["shifted"]) == 15
    assert {"por-1", "neuba", "uor", "btop", "badpre"} <= names
