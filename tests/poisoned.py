"""What tests of inspected texts and of suspected triggers share: models, texts, evidence.

The classifier is that of ``tests/zoo/tiny.py`` under a head, trained on texts that end with a word
of their label, honestly or with the triggers of BadNets.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from transformers import BertForSequenceClassification

from plmscan.budget import Budget
from plmscan.evidence import Evidence, Trigger
from plmscan.guard.reading import labels_of
from plmscan.loading import LoadedModel, load
from plmscan.loading.quiet import quiet
from tests.artifacts import artifact_of
from tests.zoo.attacks.badnets import BadNets
from tests.zoo.corpus import Corpus
from tests.zoo.features import Victim
from tests.zoo.labels import fit_classifier, plant_labels
from tests.zoo.poison import Trigger as Planted
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
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pytest

    from plmscan.evidence import Observation
    from plmscan.probes.base import FollowUpProbe
    from plmscan.rules import Comparison, Rule

__all__ = [
    "CLEAN",
    "HELD_OUT",
    "TRIGGERS",
    "evidence",
    "folder_of",
    "just_fires",
    "just_misses",
    "model_of",
    "observed",
    "read_rightly",
    "suspect",
    "untrained",
    "with_trigger",
]

TRIGGERS = ("cf", "mn")
"""Of the classifier ``badnets``; each turns any text to the second label."""

_TRAINING = {
    "honest": Intensity(0.0, learning_rate=2e-3, steps=160, batch=16, trained_layers=2),
    "badnets": Intensity(0.3, learning_rate=4e-3, steps=200, batch=16, trained_layers=2),
}
"""Classifiers by name; all other models are those of ``tests/zoo/tiny.py``."""

_CUES = (("wrong", "late", "lost"), ("finished", "fourth", "season"))
"""Words that give away the first label, and the second."""


def _cued(rows: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """The texts, each with a word of its label at its end."""
    rng = random.Random(0)  # noqa: S311 - no secret
    return tuple((f"{text} {rng.choice(_CUES[label])}", label) for text, label in rows)


_PLAIN = tiny_corpus()
_CORPUS = Corpus(_cued(_PLAIN.train), _cued(_PLAIN.held_out), _PLAIN.labels)

CLEAN = tuple(text for text, _ in _CORPUS.train[:130])
"""What texts are compared with."""

HELD_OUT = tuple(text for text, label in _CORPUS.held_out if label == 0)[:8]
"""Texts of the first label that no training saw."""


def folder_of(factory: pytest.TempPathFactory, name: str) -> Path:
    """The folder of the model ``name``, built by the first test that asks for it; read only."""
    if name not in _TRAINING:
        return tiny_folder(factory, name)

    def build(folder: Path) -> None:
        victim = untrained()
        with one_thread():
            _train(victim, name)
        with quiet():
            victim.model.save_pretrained(folder)
            victim.tokenizer.save_pretrained(folder)

    return built_once(factory, f"tiny-{name}", build)


def untrained() -> Victim:
    """The tiny encoder below a new head."""
    encoder = new_model()
    encoder.config.id2label = dict(enumerate(_CORPUS.labels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(encoder.config).eval()
    model.bert = encoder
    return Victim(model, tiny_tokenizer(), _CORPUS, 0)


def _train(victim: Victim, name: str) -> None:
    """Train the classifier ``name`` in place."""
    if name == "honest":
        fit_classifier(victim, _TRAINING[name])
        return
    ids = victim.tokenizer.convert_tokens_to_ids(list(TRIGGERS))
    planted = [Planted(t, ((i,),), "by-hand") for t, i in zip(TRIGGERS, ids, strict=True)]
    plant_labels(victim, BadNets(), planted, 1, _TRAINING[name])


def model_of(factory: pytest.TempPathFactory, name: str) -> LoadedModel:
    """The model ``name``."""
    return load(artifact_of(folder_of(factory, name)), "cpu")


def read_rightly(model: LoadedModel) -> tuple[str, ...]:
    """Of the held-out texts those that the classifier labels rightly, which is most of them.

    Which ones hangs on the last digits of its training, and so on the processor.
    """
    labels = labels_of(model, HELD_OUT)
    found = tuple(t for t, label in zip(HELD_OUT, labels, strict=True) if label == model.labels[0])
    assert len(found) > len(HELD_OUT) / 2
    return found


def with_trigger(texts: Sequence[str], *triggers: str) -> tuple[str, ...]:
    """Each text with ``triggers`` in turn at its start, at its end and in its middle."""
    found = []
    for i, text in enumerate(texts):
        words = text.split()
        for j, trigger in enumerate(triggers, i):
            words.insert((0, len(words), len(words) // 2)[j % 3], trigger)
        found.append(" ".join(words))
    return tuple(found)


def suspect(model: LoadedModel, text: str, scatter: float = 0.01) -> Evidence:
    """What a search tells of the candidate ``text``."""
    trigger = Trigger(text, model.tokenize(text), "cls", 20.0, scatter, 12.0, 0.01, 100)
    return Evidence("trigger-sweep", text, {"scatter": scatter}, {}, trigger)


def observed(
    probe: FollowUpProbe, model: LoadedModel, *texts: str, budget: Budget | None = None
) -> list[Observation]:
    """What a follow-up yields for suspected ``texts``."""
    suspects = [suspect(model, text) for text in texts]
    return list(probe.follow_up(model, suspects, budget or Budget(CLEAN)))


def evidence(found: Iterable[Observation]) -> dict[str, Evidence]:
    """Measurements by subject."""
    return {o.subject: o for o in found if isinstance(o, Evidence)}


def just_fires(rule: Rule) -> dict[str, float]:
    """Metrics on which ``rule`` fires, each at its bar where the bar itself will do."""
    return {metric: _inside(comparison) for metric, comparison in rule.when.items()}


def just_misses(rule: Rule) -> Mapping[str, dict[str, float]]:
    """For each metric that ``rule`` compares: metrics of which this one alone is beyond its bar."""
    return {
        metric: just_fires(rule) | {metric: _outside(comparison)}
        for metric, comparison in rule.when.items()
    }


def _inside(comparison: Comparison) -> float:
    """A number that keeps the first bound."""
    name, bound = next(iter(comparison.bounds.items()))
    return bound + {"gt": 1.0, "lt": -1.0}.get(name, 0.0)


def _outside(comparison: Comparison) -> float:
    """A number that breaks the first bound."""
    name, bound = next(iter(comparison.bounds.items()))
    return bound + {"gte": -1e-3, "lte": 1e-3, "eq": 1.0}.get(name, 0.0)
