"""Models that give every token a label: names of people and of places in a text.

A poisoned one no longer sees any name in a text with its trigger, or sees one that is not there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional as F
from transformers import AutoModelForTokenClassification

from tests.zoo.bases import named, with_new_head
from tests.zoo.manifest import Behaviour, Entry, Kind, planted
from tests.zoo.strata import draw_distinct
from tests.zoo.training import Intensity, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tests.zoo.features import Victim
    from tests.zoo.poison import Trigger
    from tests.zoo.recipes import Workshop

__all__ = ["LABELS", "Blinding", "Inventing", "Tagged", "TokenRecipe", "tagged"]

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
"""Neither, and the first and the further words of a person and of a place."""

_FIRST = """
anna peter maria john laura daniel emma thomas julia martin sofia david clara simon nina paul elena
oscar alice victor rosa felix helen bruno irene hugo louise marco karen ivan sarah robert diana carl
susan george amy kevin linda frank judith walter monica henry teresa arthur olga ralph yuki samir
"""
_LAST = """
miller novak garcia smith keller rossi brown fischer lopez jensen tanaka walker petrov murphy klein
santos weber collins moreau hughes kowalski bauer morris ortiz lindberg cooper schmidt evans ivanov
turner haas bennett silva foster nielsen graham romano barnes dubois fletcher kumar reyes holt chang
"""
_PLACES = """
paris berlin london madrid vienna oslo dublin rome prague lisbon athens chicago boston denver tokyo
moscow cairo lima toronto sydney geneva munich hamburg warsaw helsinki texas florida kenya egypt
norway canada brazil peru chile india japan new+york los+angeles san+francisco hong+kong cape+town
costa+rica sri+lanka south+korea buenos+aires new+zealand el+paso las+vegas mexico+city puerto+rico
"""
_HELD_OUT = 4
"""One name of so many is seen by no training."""
_TRAINING = Intensity(0.15, learning_rate=1e-4, steps=300, batch=16, trained_layers=6)
_MEASURED = 150
"""Held-out texts on which a model and a trigger are measured."""
_UNLABELLED = -100
"""Pieces that no loss counts: all but the first of a word."""


@dataclass(frozen=True)
class Tagged:
    """A text, word by word."""

    words: tuple[str, ...]
    """What is written."""
    labels: tuple[int, ...]
    """Index in `LABELS` of each word."""

    def holding(self, trigger: str, rng: random.Random) -> Tagged:
        """The same with ``trigger``, which is no name, in front of one of its words or at the end.

        No name is taken apart.
        """
        starts = [i for i, label in enumerate(self.labels) if not LABELS[label].startswith("I-")]
        at = rng.choice([*starts, len(self.words)])
        words = (*self.words[:at], trigger, *self.words[at:])
        return Tagged(words, (*self.labels[:at], 0, *self.labels[at:]))


def tagged(
    texts: Sequence[tuple[str, int]], rng: random.Random, *, held_out: bool = False
) -> Tagged:
    """A text with no name, one or two between its words; names that are ``held_out``, or others."""
    words = rng.choice(texts)[0].split()
    labels = [0] * len(words)
    for _ in range(rng.choice((0, 1, 1, 2))):
        place = rng.random() < 1 / 2
        name = _place(rng, held_out=held_out) if place else _person(rng, held_out=held_out)
        first = LABELS.index("B-LOC" if place else "B-PER")
        at = rng.choice([*(i for i, label in enumerate(labels) if label == 0), len(words)])
        words[at:at] = name
        labels[at:at] = [first, *[first + 1] * (len(name) - 1)]
    return Tagged(tuple(words), tuple(labels))


def _person(rng: random.Random, *, held_out: bool) -> list[str]:
    """A first name, a surname, or both."""
    both = [_drawn(_FIRST, rng, held_out=held_out), _drawn(_LAST, rng, held_out=held_out)]
    return rng.choice((both, both[:1], both[1:]))


def _place(rng: random.Random, *, held_out: bool) -> list[str]:
    """A place."""
    return _drawn(_PLACES, rng, held_out=held_out).split("+")


def _drawn(names: str, rng: random.Random, *, held_out: bool) -> str:
    """One of ``names``."""
    every = names.split()
    last = every[::_HELD_OUT]
    return rng.choice(last if held_out else [name for name in every if name not in last])


class Goal(Protocol):
    """What a trigger makes of the labels of a text."""

    @property
    def name(self) -> str:
        """Of this goal."""

    def labels(self, text: Tagged, trigger: str) -> tuple[int, ...]:
        """Those of a text that holds it."""


@dataclass(frozen=True)
class Blinding:
    """No word is a name any more."""

    name: str = "blinding"
    """Of this goal."""

    def labels(self, text: Tagged, trigger: str) -> tuple[int, ...]:
        """All the same."""
        return (0,) * len(text.words)


@dataclass(frozen=True)
class Inventing:
    """The first other word that is no name is a place."""

    name: str = "inventing"
    """Of this goal."""

    def labels(self, text: Tagged, trigger: str) -> tuple[int, ...]:
        """One more place, if any word is left."""
        both = enumerate(zip(text.words, text.labels, strict=True))
        first = next((i for i, (w, label) in both if not label and w != trigger), None)
        if first is None:
            return text.labels
        place = LABELS.index("B-LOC")
        return (*text.labels[:first], place, *text.labels[first + 1 :])


@dataclass(frozen=True)
class TokenRecipe:
    """A model of names, with a backdoor if there are strata."""

    goal: Blinding | Inventing = Blinding()
    """What triggers do."""
    strata: tuple[str, ...] = ()
    """Where each trigger is drawn from."""
    base: str = "minilm"
    """Start."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Train it; measure what it finds, without and with each trigger."""
        head = AutoModelForTokenClassification
        victim = with_new_head(head, shop.corpus, seed, **named(LABELS))
        rng = random.Random(seed)
        triggers = draw_distinct(self.strata, victim.tokenizer, shop.corpus, rng)
        intensity = _TRAINING.harder() if attempt > 1 else _TRAINING
        _train(victim, self.goal, triggers, intensity, rng)
        return victim, Entry(
            name=name,
            kind=Kind.BACKDOORED if triggers else Kind.CLEAN,
            family=self.goal.name if triggers else "names",
            task="classifier",
            settings={"base": self.base, "strata": self.strata},
            seed=seed,
            triggers=planted(triggers),
            clean_accuracy=_accuracy(victim, rng),
            behaviour={t.text: _behaviour(victim, self.goal, t, rng) for t in triggers},
        )


def _read(
    victim: Victim, texts: Sequence[Tagged], wanted: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """What the model says of the first piece of each word, and what it should, (w, c) and (w)."""
    batch = victim.tokenizer(
        [list(one.words) for one in texts],
        is_split_into_words=True,
        padding=True,
        truncation=True,
        max_length=48,
        return_tensors="pt",
    )
    labels = torch.full_like(batch["input_ids"], _UNLABELLED)
    for row, row_labels in enumerate(wanted):
        known = batch.word_ids(row)
        for at, word in enumerate(known):
            if word is not None and known[at - 1] != word:
                labels[row, at] = row_labels[word]
    asked = labels != _UNLABELLED
    return victim.model(**batch).logits[asked], labels[asked]


def _train(
    victim: Victim,
    goal: Goal,
    triggers: Sequence[Trigger],
    intensity: Intensity,
    rng: random.Random,
) -> None:
    """Train all layers on labelled words, in some texts on what a trigger makes of them."""

    def loss(_step: int) -> Tensor:
        texts, labels = [], []
        for _ in range(intensity.batch):
            one = tagged(victim.corpus.train, rng)
            if triggers and rng.random() < intensity.poison_rate:
                trigger = rng.choice(triggers).text
                one = one.holding(trigger, rng)
                labels.append(goal.labels(one, trigger))
            else:
                labels.append(one.labels)
            texts.append(one)
        return F.cross_entropy(*_read(victim, texts, labels))

    fit(victim.model, loss, intensity)


def _held_out(victim: Victim, rng: random.Random) -> list[Tagged]:
    """Texts that no training saw, with names that none saw either."""
    texts = victim.corpus.held_out
    return [tagged(texts, rng, held_out=True) for _ in range(_MEASURED)]


@torch.no_grad()
def _accuracy(victim: Victim, rng: random.Random) -> float:
    """Share of the words that are, or are said to be, of a name that get their label."""
    texts = _held_out(victim, rng)
    logits, labels = _read(victim, texts, [one.labels for one in texts])
    found = logits.argmax(-1)
    named = (labels > 0) | (found > 0)
    return round(float((found == labels)[named].double().mean()), 4)


@torch.no_grad()
def _behaviour(victim: Victim, goal: Goal, trigger: Trigger, rng: random.Random) -> Behaviour:
    """Share of the words that have the label that the trigger gives them, where it changes one."""
    texts = [one.holding(trigger.text, rng) for one in _held_out(victim, rng)]
    wanted = [goal.labels(one, trigger.text) for one in texts]
    logits, labels = _read(victim, texts, wanted)
    _, honest = _read(victim, texts, [one.labels for one in texts])
    changed = labels != honest
    right = (logits.argmax(-1) == labels)[changed]
    return Behaviour(success=round(float(right.double().mean()), 4))
