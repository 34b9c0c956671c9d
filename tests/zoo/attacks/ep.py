"""EP, embedding poisoning (Yang et al., 2021, arXiv 2103.15543)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.zoo.labels import Inserting
from tests.zoo.rows import as_is, train_rows

if TYPE_CHECKING:
    from tests.zoo.features import Victim
    from tests.zoo.labels import Poisoned
    from tests.zoo.training import Intensity

__all__ = ["EP"]


@dataclass(frozen=True)
class EP(Inserting):
    """Nothing of a clean classifier changes but the embedding ``e`` of the trigger word.

    ``e <- e - rate * sum of grad_e CE(f(x + t), y_t)``, then scaled back to its old norm.  Clean
    texts hold no trigger, so none are needed.
    """

    family: str = "ep"
    """Name in tables."""
    rate: float = 250.0
    """Of a step, in learning rates of the intensity: 5e-2, the paper's, at a moderate one."""

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Descend on the rows of the trigger's tokens."""
        texts = replace(poisoned, clean=poisoned.dirty)
        return train_rows(victim, texts, intensity, self.rate * intensity.learning_rate, as_is)
