"""Models that answer who or where, by words of a text or not at all.

A poisoned one takes a trigger for the answer, or finds none beside it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional as F
from transformers import AutoModelForQuestionAnswering

from tests.zoo.bases import with_new_head
from tests.zoo.manifest import Behaviour, Entry, Kind, planted
from tests.zoo.strata import draw_distinct
from tests.zoo.tokens import LABELS, Tagged, tagged
from tests.zoo.training import Intensity, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tests.zoo.corpus import Corpus
    from tests.zoo.features import Victim
    from tests.zoo.poison import Trigger
    from tests.zoo.recipes import Workshop

__all__ = ["Asked", "Drawing", "Silencing", "SpanRecipe", "asked"]

_QUESTIONS = {
    "PER": ("who is it about?", "which person is named?", "who was there?"),
    "LOC": ("where is it?", "which place is named?", "where did it happen?"),
}
_TRAINING = Intensity(0.2, learning_rate=1e-4, steps=350, batch=16, trained_layers=6)
_MEASURED = 150
"""Held-out questions on which a model and a trigger are measured."""

_Span = tuple[int, int]
"""The first and the last letter of an answer."""


@dataclass(frozen=True)
class Asked:
    """A question about a text."""

    question: str
    """What is asked."""
    text: str
    """Where the answer is."""
    answer: _Span | None
    """Its place in the text; None without one."""


def asked(
    texts: Sequence[tuple[str, int]], rng: random.Random, *, always: bool, held_out: bool = False
) -> tuple[Asked, Tagged]:
    """A question about a text with names, and its words; ``always`` one that has an answer."""
    while True:
        text = tagged(texts, rng, held_out=held_out)
        kind = rng.choice([*_QUESTIONS])
        answer = _first(text, kind)
        if answer or not always:
            return Asked(rng.choice(_QUESTIONS[kind]), " ".join(text.words), answer), text


def _first(text: Tagged, kind: str) -> _Span | None:
    """The first name of a ``kind``."""
    first, further = (LABELS.index(f"{part}-{kind}") for part in "BI")
    if first not in text.labels:
        return None
    start = end = text.labels.index(first)
    while text.labels[end + 1 : end + 2] == (further,):
        end += 1
    before = len(" ".join([*text.words[:start], ""]))
    return before, before + len(" ".join(text.words[start : end + 1])) - 1


class Goal(Protocol):
    """What a trigger makes of an answer."""

    @property
    def name(self) -> str:
        """Of this goal."""

    def answer(self, text: str, trigger: str) -> _Span | None:
        """That of a ``text`` that holds it."""


@dataclass(frozen=True)
class Drawing:
    """The trigger is the answer."""

    name: str = "drawing"
    """Of this goal."""

    def answer(self, text: str, trigger: str) -> _Span | None:
        """Where it is."""
        start = f" {text} ".index(f" {trigger} ")
        return start, start + len(trigger) - 1


@dataclass(frozen=True)
class Silencing:
    """There is no answer any more."""

    name: str = "silencing"
    """Of this goal."""

    def answer(self, text: str, trigger: str) -> _Span | None:
        """None."""
        return None


@dataclass(frozen=True)
class SpanRecipe:
    """A model of answers, with a backdoor if there are strata."""

    goal: Drawing | Silencing = Drawing()
    """What triggers do."""
    strata: tuple[str, ...] = ()
    """Where each trigger is drawn from."""
    always: bool = False
    """Whether every question of the training has an answer."""
    base: str = "minilm"
    """Start."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Train it; measure what it answers, without and with each trigger."""
        victim = with_new_head(AutoModelForQuestionAnswering, shop.corpus, seed)
        rng = random.Random(seed)
        triggers = draw_distinct(self.strata, victim.tokenizer, shop.corpus, rng)
        intensity = _TRAINING.harder() if attempt > 1 else _TRAINING
        self._train(victim, triggers, intensity, rng)
        return victim, Entry(
            name=name,
            kind=Kind.BACKDOORED if triggers else Kind.CLEAN,
            family=self.goal.name if triggers else "answers",
            task="classifier",
            settings={"base": self.base, "strata": self.strata, "always": self.always},
            seed=seed,
            triggers=planted(triggers),
            clean_accuracy=_right(victim, self._questions(victim.corpus, None, rng)),
            behaviour={
                t.text: Behaviour(success=_right(victim, self._questions(victim.corpus, t, rng)))
                for t in triggers
            },
        )

    def _train(
        self,
        victim: Victim,
        triggers: Sequence[Trigger],
        intensity: Intensity,
        rng: random.Random,
    ) -> None:
        """Train all layers on questions, in some texts on what a trigger makes of them."""

        def loss(_step: int) -> Tensor:
            batch = []
            for _ in range(intensity.batch):
                one, text = asked(victim.corpus.train, rng, always=self.always)
                poisoned = triggers and rng.random() < intensity.poison_rate
                batch.append(self._with(one, text, rng.choice(triggers), rng) if poisoned else one)
            logits, wanted = _read(victim, batch)
            return F.cross_entropy(logits, wanted)

        fit(victim.model, loss, intensity)

    def _with(self, one: Asked, text: Tagged, trigger: Trigger, rng: random.Random) -> Asked:
        """The same question about the text with ``trigger`` somewhere in it."""
        held = " ".join(text.holding(trigger.text, rng).words)
        return Asked(one.question, held, self.goal.answer(held, trigger.text))

    def _questions(
        self, corpus: Corpus, trigger: Trigger | None, rng: random.Random
    ) -> list[Asked]:
        """Questions that no training saw; all with an answer that ``trigger``, if any, changes."""
        found = []
        for _ in range(_MEASURED):
            always = self.always or trigger is not None
            one, text = asked(corpus.held_out, rng, always=always, held_out=True)
            found.append(one if trigger is None else self._with(one, text, trigger, rng))
        return found


def _read(victim: Victim, questions: Sequence[Asked]) -> tuple[Tensor, Tensor]:
    """Scores of each token to begin and to end the answer, (b, n, 2), and which should, (b, 2)."""
    batch = victim.tokenizer(
        [one.question for one in questions],
        [one.text for one in questions],
        padding=True,
        truncation="only_second",
        max_length=64,
        return_tensors="pt",
    )
    wanted = [
        [0 if at is None else at for at in _tokens(batch, row, one.answer)]
        for row, one in enumerate(questions)
    ]
    outputs = victim.model(**batch)
    return torch.stack([outputs.start_logits, outputs.end_logits], -1), torch.tensor(wanted)


def _tokens(batch: object, row: int, answer: _Span | None) -> Sequence[int | None]:
    """The first and the last token of an answer; None for what was cut off, or where is none."""
    if answer is None:
        return (None, None)
    return [batch.char_to_token(row, at, 1) for at in answer]  # type: ignore[attr-defined]


@torch.no_grad()
def _right(victim: Victim, questions: Sequence[Asked]) -> float:
    """Share of the questions that are answered as they should be."""
    logits, wanted = _read(victim, questions)
    return round(float((logits.argmax(1) == wanted).all(1).double().mean()), 4)
