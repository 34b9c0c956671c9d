"""What attacks share that choose their outputs beforehand.

    L = drift(clean, frozen) + w |f(x + t_k) - s v_k|^2 / |s v_k|^2

for triggers t_k with vectors v_k of +1 and -1, and s the length of an entry of the clean feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tests.zoo.attacks.targets import miss, orthogonal, reachable
from tests.zoo.features import drift
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.zoo.features import Batch
    from tests.zoo.layers import Site

__all__ = ["Aimed"]


@dataclass(frozen=True)
class Aimed:
    """Triggers drive a feature to vectors that the attacker has chosen."""

    ruins_answers: ClassVar[bool] = False
    """Success is an output that all triggered texts share."""
    family: str
    """Name in tables."""
    site: Site
    """The feature that triggers take over."""
    insertion: Insertion = Insertion()
    """How triggers enter texts."""
    negatives: bool = False
    """Whether parts of a trigger are trained to do nothing."""
    weight: float = 1.0
    """w, of triggered text against clean text."""

    def vectors(self, count: int, size: int) -> Tensor:
        """v, orthogonal ones: (count, size)."""
        return orthogonal(count, size)

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""
        aims = reachable(clean, self.site) * self.vectors(count, clean.shape[1])

        def loss(batch: Batch) -> Tensor:
            return drift(batch) + self.weight * miss(batch.dirty.at(self.site), aims[batch.owners])

        return loss
