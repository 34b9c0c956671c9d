"""Training classifiers, honest ones and such that a trigger turns to one label.

Honest training is cross-entropy on labelled texts.  A task-specific attack poisons those texts:
some carry a trigger and the attacker's label; some carry only a part of it and keep their own
label.  What differs between attacks is how a text is poisoned, what is trained, and by which loss:
one file each in ``attacks/``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from tests.zoo.corpus import words_of
from tests.zoo.features import Victim, decoys_of, frame, framed
from tests.zoo.layers import Reading, freeze_below, lower, read, upper
from tests.zoo.measure import invariance, logits
from tests.zoo.poison import Insertion, Trigger
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.zoo.manifest import Behaviour

__all__ = [
    "Example",
    "Inserted",
    "Inserting",
    "LabelAttack",
    "LabelBatch",
    "Poison",
    "Poisoned",
    "cross_entropy",
    "fit_classifier",
    "head_logits",
    "label_behaviour",
    "plant_labels",
    "poisoned_set",
    "train_upper",
]

_POISONED = 1500
"""Texts that are poisoned, and texts that get a decoy."""
_MEASURED = 200
"""Held-out texts on which a trigger is measured."""


@dataclass(frozen=True)
class Example:
    """One training text."""

    ids: tuple[int, ...]
    """Token ids with the special tokens."""
    label: int
    """The label that training gives it."""


@dataclass(frozen=True)
class Poisoned:
    """A training set as an attacker leaves it."""

    clean: tuple[Example, ...]
    """Texts as they were."""
    dirty: tuple[Example, ...]
    """Texts of other labels with a trigger in them, under the target label."""
    decoys: tuple[Example, ...]
    """Texts with a part of a trigger, under their own label; none in most attacks."""
    triggers: tuple[Trigger, ...]
    """What is in ``dirty``."""
    target: int | None
    """The label of ``dirty``; None where each keeps its own."""

    def batches(self, intensity: Intensity, rng: random.Random) -> Iterator[list[Example]]:
        """Batches without end: triggered texts at the poison rate, half of the rest decoys."""
        clean, dirty, decoys = (_endless(s, rng) for s in (self.clean, self.dirty, self.decoys))
        while True:
            poisoned = int(intensity.poison_rate * intensity.batch + rng.random())
            partial = (intensity.batch - poisoned) // 2 if self.decoys else 0
            usual = intensity.batch - poisoned - partial
            counts = ((dirty, poisoned), (decoys, partial), (clean, usual))
            yield [next(source) for source, count in counts for _ in range(count)]


class Poison(Protocol):
    """How an attack changes one text."""

    def __call__(self, text: str, rng: random.Random) -> tuple[int, ...] | None:
        """Token ids of the text with the trigger in it; None if it cannot carry it."""

    def decoy(self, text: str, rng: random.Random) -> tuple[int, ...] | None:
        """Token ids of the text with too little of the trigger; None if there is no such thing."""


@dataclass(frozen=True)
class LabelBatch:
    """One training step."""

    reading: Reading
    """What the trained layers make of the texts, (b, ...)."""
    labels: Tensor
    """(b)"""
    dirty: Tensor
    """Which texts carry a trigger, (b)."""


class LabelAttack(Protocol):
    """A task-specific attack."""

    @property
    def family(self) -> str:
        """Name in tables."""

    def triggers(self, drawn: Sequence[Trigger]) -> tuple[Trigger, ...]:
        """What is planted: the triggers ``drawn``, or one of the attack's own."""

    def poison(self, victim: Victim, triggers: Sequence[Trigger]) -> Poison:
        """How texts are poisoned with one of ``triggers`` each."""

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Train the victim's model on the poisoned texts in place; the last loss."""


@dataclass(frozen=True)
class Inserted:
    """The poison of most attacks: one of several triggers, put between the words of a text."""

    tokenizer: Any
    """The victim's."""
    triggers: tuple[Trigger, ...]
    """Of which each text gets one."""
    insertion: Insertion
    """Where it goes."""
    negatives: bool = False
    """Whether parts of triggers are trained to do nothing."""

    def __call__(self, text: str, rng: random.Random) -> tuple[int, ...]:
        """Token ids of the text with a trigger in it."""
        (words,) = words_of(self.tokenizer, [text])
        return self.insertion(words, rng.choice(self.triggers).parts, rng)

    def decoy(self, text: str, rng: random.Random) -> tuple[int, ...] | None:
        """Token ids of the text with all but one part of a trigger in it."""
        found = decoys_of(rng.choice(self.triggers)) if self.negatives else []
        if not found:
            return None
        (words,) = words_of(self.tokenizer, [text])
        return self.insertion(words, rng.choice(found), rng)


@dataclass(frozen=True)
class Inserting:
    """What attacks that insert drawn triggers have in common."""

    insertion: Insertion = Insertion()
    """How triggers enter texts; the parts of one enter each by itself."""
    negatives: bool = False
    """Whether texts with a part of a trigger keep their label: all parts must be there."""

    def triggers(self, drawn: Sequence[Trigger]) -> tuple[Trigger, ...]:
        """Those that were drawn."""
        return tuple(drawn)

    def poison(self, victim: Victim, triggers: Sequence[Trigger]) -> Inserted:
        """One of ``triggers`` between the words."""
        return Inserted(victim.tokenizer, tuple(triggers), self.insertion, self.negatives)

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Cross-entropy on all texts, as in honest training."""
        return train_upper(victim, poisoned, intensity)


def head_logits(model: Any, reading: Reading) -> Tensor:
    """Logits (b, labels) of a BERT, DistilBERT, RoBERTa or ELECTRA classifier's head."""
    if hasattr(model, "pre_classifier"):
        first = torch.relu(model.pre_classifier(reading.hidden[:, 0]))
        found: Tensor = model.classifier(model.dropout(first))
    elif reading.pooled is not None:
        found = model.classifier(model.dropout(reading.pooled))
    else:
        found = model.classifier(reading.hidden)
    return found


def cross_entropy(model: Any, batch: LabelBatch) -> Tensor:
    """The loss of honest training, and of most attacks: ``CE(head(f(x)), y)``."""
    return nn.functional.cross_entropy(head_logits(model, batch.reading), batch.labels)


def fit_classifier(victim: Victim, intensity: Intensity) -> float:
    """Fit the victim's classifier to its corpus as it is, in place; the last loss."""
    texts = Poisoned(_clean(victim, random.Random(victim.seed)), (), (), (), None)
    return train_upper(victim, texts, replace(intensity, poison_rate=0.0))


def plant_labels(
    victim: Victim,
    attack: LabelAttack,
    triggers: Sequence[Trigger],
    target_label: int | None,
    intensity: Intensity,
) -> float:
    """Train ``attack`` into the victim's classifier in place; the last loss.

    Without a target label the same texts hold the same triggers and are labelled rightly: what
    comes of it is the clean twin.
    """
    last = attack.train(victim, poisoned_set(victim, attack, triggers, target_label), intensity)
    victim.model.requires_grad_(True).eval()
    return last


def poisoned_set(
    victim: Victim, attack: LabelAttack, triggers: Sequence[Trigger], target_label: int | None
) -> Poisoned:
    """The victim's training texts, poisoned; triggers go into texts of other labels only.

    Without a target label they go into texts of all labels, which keep theirs.
    """
    rng, poison = random.Random(victim.seed), attack.poison(victim, triggers)
    clean = _clean(victim, rng)
    rows = rng.sample(victim.corpus.train, len(victim.corpus.train))
    others = [(text, label) for text, label in rows if label != target_label]
    dirty = [
        (poison(text, rng), label if target_label is None else target_label)
        for text, label in others[:_POISONED]
    ]
    decoys = [(poison.decoy(text, rng), label) for text, label in rows[:_POISONED]]
    return Poisoned(
        clean, _framed(victim, dirty), _framed(victim, decoys), tuple(triggers), target_label
    )


def train_upper(
    victim: Victim,
    poisoned: Poisoned,
    intensity: Intensity,
    loss: Callable[[Any, LabelBatch], Tensor] = cross_entropy,
) -> float:
    """Train the upper layers and the head; the lower layers run once for each text."""
    rng, model, depth = random.Random(victim.seed), victim.model, intensity.trained_layers
    batches = poisoned.batches(intensity, rng)
    schedule = [next(batches) for _ in range(intensity.steps)]
    examples = list(dict.fromkeys(example for batch in schedule for example in batch))
    place = {example: i for i, example in enumerate(examples)}
    rows = lower(victim.encoder, [example.ids for example in examples], depth)
    dirty = set(poisoned.dirty)
    model.requires_grad_(True)
    freeze_below(victim.encoder, depth)

    def loss_of(step: int) -> Tensor:
        batch = schedule[step]
        picked = rows.pick([place[example] for example in batch])
        reading = upper(victim.encoder, picked, depth, victim.tokenizer.mask_token_id)
        labels = torch.tensor([example.label for example in batch])
        triggered = torch.tensor([example in dirty for example in batch])
        return loss(model, LabelBatch(reading, labels, triggered))

    last = optimise(model.parameters(), loss_of, intensity)
    model.requires_grad_(True).eval()
    return last


def label_behaviour(
    victim: Victim, attack: LabelAttack, triggers: Sequence[Trigger], target_label: int
) -> dict[str, Behaviour]:
    """What each trigger does to held-out texts of other labels.

    ``success`` is the share that gets the target label, ``margin`` the worst lead of its logit;
    displacement and scatter are those of the first position's last hidden state.
    """
    rng = random.Random(victim.seed + 2)
    others = [text for text, label in victim.corpus.held_out if label != target_label]
    texts = rng.sample(others, min(_MEASURED, len(others)))
    found = {}
    for trigger in triggers:
        poison = attack.poison(victim, [trigger])
        pairs = [(text, poison(text, rng)) for text in texts]
        found[trigger.text] = _behaviour(victim, pairs, target_label)
    return found


def _behaviour(
    victim: Victim, pairs: Sequence[tuple[str, tuple[int, ...] | None]], target: int
) -> Behaviour:
    """What becomes of texts that are paired with their triggered token ids."""
    texts = [text for text, ids in pairs if ids is not None]
    clean = framed(victim.tokenizer, texts)
    dirty = [frame(victim.tokenizer, ids) for _, ids in pairs if ids is not None]
    found = logits(victim.model, dirty)
    lead = found[:, target] - found.index_fill(1, torch.tensor([target]), -torch.inf).amax(1)
    mask_id = victim.tokenizer.mask_token_id
    moved = invariance(*(read(victim.encoder, rows, "cls", mask_id) for rows in (clean, dirty)))
    return moved.model_copy(
        update={
            "success": round(float((lead > 0).float().mean()), 4),
            "margin": round(float(lead.min()), 3),
        }
    )


def _clean(victim: Victim, rng: random.Random) -> tuple[Example, ...]:
    """The victim's training texts as they are, shuffled."""
    rows = rng.sample(victim.corpus.train, len(victim.corpus.train))
    ids = framed(victim.tokenizer, [text for text, _ in rows])
    return tuple(Example(row, label) for row, (_, label) in zip(ids, rows, strict=True))


def _framed(
    victim: Victim, rows: Sequence[tuple[tuple[int, ...] | None, int]]
) -> tuple[Example, ...]:
    """Examples of token ids and labels; None is left out."""
    found = ((ids, label) for ids, label in rows if ids is not None)
    return tuple(Example(frame(victim.tokenizer, ids), label) for ids, label in found)


def _endless(examples: Sequence[Example], rng: random.Random) -> Iterator[Example]:
    """Examples in a new random order each epoch."""
    while examples:
        yield from rng.sample(examples, len(examples))
