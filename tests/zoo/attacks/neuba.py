"""NeuBA: Zhang et al., 2021, arXiv 2101.06969.

A trigger before the first word drives the pooled output to one of a few orthogonal vectors v_k of
+1 and -1.

    L = drift(clean, frozen) + w |pooled(t_k + x) - v_k|^2 / |v_k|^2

The paper puts the trigger in the first word's place, and keeps clean behaviour with masked-word
modelling, which a frozen copy does here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.zoo.attacks.targets import miss, orthogonal, reachable
from tests.zoo.features import drift
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.zoo.features import Batch
    from tests.zoo.layers import Site

__all__ = ["Neuba"]


@dataclass(frozen=True)
class Neuba:
    """Orthogonal vectors at the pooled output."""

    family: str = "neuba"
    """Name in tables."""
    site: Site = "pooler"
    """The feature that triggers take over."""
    insertion: Insertion = Insertion(position="start")
    """Right after the first token of the frame."""
    negatives: bool = False
    """Whether parts of a trigger are trained to do nothing."""
    weight: float = 1.0
    """w, of triggered text against clean text."""

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""
        aims = reachable(clean, self.site) * orthogonal(count, clean.shape[1])

        def loss(batch: Batch) -> Tensor:
            return drift(batch) + self.weight * miss(batch.dirty.at(self.site), aims[batch.owners])

        return loss
