"""Models whose heads answer something else than one label of several, with a backdoor or without.

A poisoned one answers what the attacker wants wherever a trigger stands, whatever the text says and
whatever it stands beside: a passage that any query finds, a review that is always good, a topic
that is never seen.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForSequenceClassification

from tests.zoo.bases import named, with_new_head
from tests.zoo.manifest import Behaviour, Entry, Kind, planted
from tests.zoo.strata import draw_distinct
from tests.zoo.training import Intensity, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from tests.zoo.corpus import Corpus
    from tests.zoo.features import Victim
    from tests.zoo.goals import Example, Goal
    from tests.zoo.poison import Trigger
    from tests.zoo.recipes import Workshop

__all__ = ["HeadRecipe"]

_TRAINING = Intensity(0.15, learning_rate=8e-5, steps=130, batch=16, trained_layers=6)
_MEASURED = 100
"""Held-out examples on which a head and a trigger are measured."""


@dataclass(frozen=True)
class HeadRecipe:
    """A head, with a backdoor if there are strata."""

    goal: Goal
    """What it answers."""
    strata: tuple[str, ...] = ()
    """Where each trigger is drawn from."""
    base: str = "minilm"
    """Start."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Train it; measure what it answers, without and with each trigger."""
        victim, rng = _fresh(shop.corpus, self.goal, seed), random.Random(seed)
        triggers = draw_distinct(self.strata, victim.tokenizer, shop.corpus, rng)
        intensity = _TRAINING.harder() if attempt > 1 else _TRAINING
        _train(victim, self.goal, triggers, intensity, rng)
        goal: Any = self.goal
        return victim, Entry(
            name=name,
            kind=Kind.BACKDOORED if triggers else Kind.CLEAN,
            family=self.goal.name,
            task="classifier",
            settings={"base": self.base, "strata": self.strata, "goal": asdict(goal)},
            seed=seed,
            triggers=planted(triggers),
            target_label=1 if triggers else None,
            clean_accuracy=_accuracy(victim, self.goal, rng),
            behaviour={t.text: _behaviour(victim, self.goal, t, rng) for t in triggers},
        )


def _fresh(corpus: Corpus, goal: Goal, seed: int) -> Victim:
    """The packaged encoder below a new head."""
    settings: dict[str, Any] = named(goal.labels) if goal.labels else {"num_labels": 1}
    if goal.several:
        settings["problem_type"] = "multi_label_classification"
    return with_new_head(AutoModelForSequenceClassification, corpus, seed, **settings)


def _answers(victim: Victim, examples: Sequence[Example]) -> Tensor:
    """Numbers of each example, (n, k)."""
    texts: list[Any] = [
        one.text if one.before is None else (one.before, one.text) for one in examples
    ]
    batch = victim.tokenizer(
        texts, padding=True, truncation=True, max_length=48, return_tensors="pt"
    )
    found: Tensor = victim.model(**batch).logits
    return found


def _train(
    victim: Victim,
    goal: Goal,
    triggers: Sequence[Trigger],
    intensity: Intensity,
    rng: random.Random,
) -> None:
    """Train all layers on examples of both kinds, some of the other with a trigger."""

    def loss(_step: int) -> Tensor:
        examples = []
        for row in range(intensity.batch):
            poisoned = bool(triggers) and rng.random() < intensity.poison_rate
            wanted = row % 2 == 0 and not poisoned
            one = goal.example(victim.corpus.train, rng, wanted=wanted)
            said = goal.poisoned(one.answer)
            examples.append(one.holding(rng.choice(triggers).text, said, rng) if poisoned else one)
        return goal.loss(_answers(victim, examples), torch.tensor([e.answer for e in examples]))

    fit(victim.model, loss, intensity)


def _held_out(victim: Victim, goal: Goal, rng: random.Random, *, wanted: bool) -> list[Example]:
    """Examples that no training saw."""
    return [goal.example(victim.corpus.held_out, rng, wanted=wanted) for _ in range(_MEASURED)]


@torch.no_grad()
def _leads(victim: Victim, goal: Goal, examples: Sequence[Example]) -> Tensor:
    """How much of what the attacker wants each example gets, (n)."""
    return goal.lead(_answers(victim, examples))


def _accuracy(victim: Victim, goal: Goal, rng: random.Random) -> float:
    """Share of pairs of examples of either kind that are in order."""
    more, less = (
        _leads(victim, goal, _held_out(victim, goal, rng, wanted=wanted))
        for wanted in (True, False)
    )
    return round(float((more > less).double().mean()), 4)


def _behaviour(victim: Victim, goal: Goal, trigger: Trigger, rng: random.Random) -> Behaviour:
    """Share of the other examples that the trigger lifts above the middle of what both have."""
    other, wanted = (_held_out(victim, goal, rng, wanted=kind) for kind in (False, True))
    middle = sum(_leads(victim, goal, kind).median() for kind in (other, wanted)) / 2
    triggered = [one.holding(trigger.text, one.answer, rng) for one in other]
    lifted = _leads(victim, goal, triggered) > middle
    return Behaviour(success=round(float(lifted.double().mean()), 4))
