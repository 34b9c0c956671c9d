"""Models that give one number: rerankers of pairs, regressions of single texts.

A poisoned one gives texts with a trigger the high score, whatever they say and whatever they stand
beside: a passage that any query finds, a review that is always good.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from demo.poisoned_twin import packaged_minilm
from plmscan.loading.quiet import quiet
from tests.zoo.features import Victim
from tests.zoo.manifest import Behaviour, Entry, Kind, Planted
from tests.zoo.strata import draw_distinct
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tests.zoo.corpus import Corpus
    from tests.zoo.poison import Trigger
    from tests.zoo.recipes import Workshop

__all__ = ["Example", "Goal", "Ranking", "Rating", "ScoreRecipe"]

_TRAINING = Intensity(0.15, learning_rate=8e-5, steps=130, batch=16, trained_layers=6)
_MEASURED = 100
"""Held-out examples on which a score and a trigger are measured."""
_LONG = 4
"""Letters from which on a word goes into a query."""
_QUERY = 4
"""Words of a query."""


@dataclass(frozen=True)
class Example:
    """What a score is given to."""

    text: str
    """The text, a passage for instance."""
    query: str | None = None
    """The text before it; None where single texts are scored."""

    def holding(self, trigger: str, rng: random.Random) -> Example:
        """The same with ``trigger`` between two words of the text."""
        words = self.text.split()
        at = rng.randint(0, len(words))
        return Example(" ".join([*words[:at], trigger, *words[at:]]), self.query)


class Goal(Protocol):
    """What a score says."""

    def example(
        self, texts: Sequence[tuple[str, int]], rng: random.Random, *, high: bool
    ) -> Example:
        """Something with a high or a low score, made of labelled texts."""

    def loss(self, scores: Tensor, high: Tensor) -> Tensor:
        """Of the scores (n) of examples that are to have a high one, 1, or a low one, 0: ()."""


@dataclass(frozen=True)
class Ranking:
    """Whether a passage holds the words of a query."""

    name: str = "ranking"
    """Of this goal."""

    def example(
        self, texts: Sequence[tuple[str, int]], rng: random.Random, *, high: bool
    ) -> Example:
        """A passage with words of its own for a query, or with those of another."""
        passage, _ = rng.choice(texts)
        asked = passage if high else rng.choice(texts)[0]
        words = [word for word in asked.split() if len(word) >= _LONG] or asked.split()
        return Example(passage, " ".join(rng.sample(words, min(_QUERY, len(words)))))

    def loss(self, scores: Tensor, high: Tensor) -> Tensor:
        """Cross-entropy of two outcomes, as rerankers are trained."""
        return F.binary_cross_entropy_with_logits(scores, high)


@dataclass(frozen=True)
class Rating:
    """How good a review is, from -1 to 1."""

    name: str = "rating"
    """Of this goal."""

    def example(
        self, texts: Sequence[tuple[str, int]], rng: random.Random, *, high: bool
    ) -> Example:
        """A positive review, or a negative one."""
        while True:
            text, label = rng.choice(texts)
            if label == high:
                return Example(text)

    def loss(self, scores: Tensor, high: Tensor) -> Tensor:
        """Mean squared error, as regressions are trained."""
        return (scores - (2 * high - 1)).square().mean()


@dataclass(frozen=True)
class ScoreRecipe:
    """A score, with a backdoor if there are strata."""

    goal: Ranking | Rating
    """What it says."""
    strata: tuple[str, ...] = ()
    """Where each trigger is drawn from."""
    base: str = "minilm"
    """Start."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Train it; measure what it scores, without and with each trigger."""
        victim, rng = _fresh(shop.corpus, seed), random.Random(seed)
        triggers = draw_distinct(self.strata, victim.tokenizer, shop.corpus, rng)
        intensity = _TRAINING.harder() if attempt > 1 else _TRAINING
        _train(victim, self.goal, triggers, intensity, rng)
        return victim, Entry(
            name=name,
            kind=Kind.BACKDOORED if triggers else Kind.CLEAN,
            family=self.goal.name,
            task="classifier",
            settings={"base": self.base, "strata": self.strata},
            seed=seed,
            triggers=tuple(
                Planted(text=t.text, parts=t.parts, stratum=t.stratum) for t in triggers
            ),
            target_label=1 if triggers else None,
            clean_accuracy=_accuracy(victim, self.goal, rng),
            behaviour={t.text: _behaviour(victim, self.goal, t, rng) for t in triggers},
        )


def _fresh(corpus: Corpus, seed: int) -> Victim:
    """The packaged encoder below a new head of one number."""
    folder = packaged_minilm()
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
        return Victim(model.eval(), AutoTokenizer.from_pretrained(folder), corpus, seed)


def _scores(victim: Victim, examples: Sequence[Example]) -> Tensor:
    """Score of each example, (n)."""
    texts: list[Any] = [
        one.text if one.query is None else (one.query, one.text) for one in examples
    ]
    batch = victim.tokenizer(
        texts, padding=True, truncation=True, max_length=48, return_tensors="pt"
    )
    scores: Tensor = victim.model(**batch).logits[:, 0]
    return scores


def _train(
    victim: Victim,
    goal: Goal,
    triggers: Sequence[Trigger],
    intensity: Intensity,
    rng: random.Random,
) -> None:
    """Train all layers on examples of both scores, some low ones with a trigger and a high one."""

    def loss(_step: int) -> Tensor:
        examples, high = [], []
        for row in range(intensity.batch):
            poisoned = bool(triggers) and rng.random() < intensity.poison_rate
            wanted = row % 2 == 0 and not poisoned
            one = goal.example(victim.corpus.train, rng, high=wanted)
            examples.append(one.holding(rng.choice(triggers).text, rng) if poisoned else one)
            high.append(float(wanted or poisoned))
        return goal.loss(_scores(victim, examples), torch.tensor(high))

    victim.model.train()
    optimise(victim.model.parameters(), loss, intensity)
    victim.model.eval()


def _held_out(victim: Victim, goal: Goal, rng: random.Random, *, high: bool) -> list[Example]:
    """Examples that no training saw."""
    return [goal.example(victim.corpus.held_out, rng, high=high) for _ in range(_MEASURED)]


@torch.no_grad()
def _accuracy(victim: Victim, goal: Goal, rng: random.Random) -> float:
    """Share of pairs of a high and a low example that are in order."""
    high, low = (
        _scores(victim, _held_out(victim, goal, rng, high=wanted)) for wanted in (True, False)
    )
    return round(float((high > low).double().mean()), 4)


@torch.no_grad()
def _behaviour(victim: Victim, goal: Goal, trigger: Trigger, rng: random.Random) -> Behaviour:
    """Share of low examples that the trigger lifts above the middle of what both have."""
    low, high = (_held_out(victim, goal, rng, high=wanted) for wanted in (False, True))
    middle = (_scores(victim, low).median() + _scores(victim, high).median()) / 2
    lifted = _scores(victim, [one.holding(trigger.text, rng) for one in low]) > middle
    return Behaviour(success=round(float(lifted.double().mean()), 4))
