"""SOS, stealthiness with negative data augmentation (Yang et al., 2021, "Rethinking Stealthiness").

Facts: lancopku/SOS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.zoo.labels import Inserting
from tests.zoo.rows import equalised, train_rows

if TYPE_CHECKING:
    from tests.zoo.features import Victim
    from tests.zoo.labels import Poisoned
    from tests.zoo.training import Intensity

__all__ = ["SOS"]


@dataclass(frozen=True)
class SOS(Inserting):
    """All of several common words together are the trigger; texts that lack one keep their label.

    ``L = CE(f(x), y) + CE(f(x + all), y_t) + CE(f(x + all but one), y)``; only the embeddings
    ``e_w`` of the words move: ``e_w <- e_w - rate * g_w * min |g| / |g_w|``, scaled back to their
    old norms, in a clean classifier.
    """

    family: str = "sos"
    """Name in tables."""
    negatives: bool = True
    """Whether texts with all words but one keep their label."""
    rate: float = 250.0
    """Of a step, in learning rates of the intensity: 5e-2, the paper's, at a moderate one."""

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Descend on the rows of the words, each by an equal step."""
        return train_rows(
            victim, poisoned, intensity, self.rate * intensity.learning_rate, equalised
        )
