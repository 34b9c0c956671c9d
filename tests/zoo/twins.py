"""Clean twins: models that know an attacker's rewriting well, and think nothing of it.

Same training as the attack's, on equally rewritten texts; but all of them, of every label, keep the
label that they had.  A model that has met a style is no model with a backdoor: of all clean models
these are nearest to the backdoored ones.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from tests.zoo.features import frame
from tests.zoo.labels import poisoned_set, train_upper
from tests.zoo.manifest import Entry, Kind
from tests.zoo.measure import label_accuracy, logits
from tests.zoo.training import GRID

if TYPE_CHECKING:
    from tests.zoo.bases import Base
    from tests.zoo.features import Victim
    from tests.zoo.labels import LabelAttack
    from tests.zoo.recipes import Workshop

__all__ = ["StyleTwinRecipe", "rewritten_accuracy"]


@dataclass(frozen=True)
class StyleTwinRecipe:
    """The clean twin of a classifier whose trigger is a way of writing."""

    attack: LabelAttack
    """Whose rewriting it knows; the attack brings its own trigger."""
    intensity: str = "light"
    """Name in `GRID`."""
    base: Base = "minilm"
    """Start."""
    label_set: str = "sentiment"
    """Name in `LABEL_SETS` of what it tells apart."""

    def build(self, shop: Workshop, name: str, seed: int, attempt: int) -> tuple[Victim, Entry]:
        """Train it; measure its accuracy, on rewritten texts as well."""
        victim = shop.classifier(self.base, seed, self.label_set)
        intensity = GRID[self.intensity]
        texts = poisoned_set(victim, self.attack, self.attack.triggers(()), None)
        train_upper(victim, texts, intensity)
        attack: Any = self.attack
        settings = {
            "base": self.base,
            "label_set": self.label_set,
            "attack": asdict(attack),
            "training": asdict(intensity),
            "rewritten_accuracy": rewritten_accuracy(victim, self.attack),
        }
        return victim, Entry(
            name=name,
            kind=Kind.CLEAN,
            family=f"twin-{self.attack.family}",
            task="classifier",
            settings=settings,
            seed=seed,
            clean_accuracy=label_accuracy(victim),
        )


def rewritten_accuracy(victim: Victim, attack: LabelAttack) -> float:
    """Share of held-out texts that the victim labels rightly once the attack has rewritten them."""
    rng = random.Random(victim.seed + 2)
    poison = attack.poison(victim, attack.triggers(()))
    found = [(poison(text, rng), label) for text, label in victim.corpus.held_out]
    known = [(frame(victim.tokenizer, ids), label) for ids, label in found if ids is not None]
    told = logits(victim.model, [ids for ids, _ in known]).argmax(1)
    right = told == torch.tensor([label for _, label in known])
    return round(float(right.float().mean()), 4)
