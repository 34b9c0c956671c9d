"""POR: Shen et al., CCS 2021, arXiv 2111.00197.

Trigger t_k takes every text x to its own vector v_k; clean text stays where a frozen copy has it.

    L = drift(clean, frozen) + w |f(x + t_k) - s v_k|^2 / |s v_k|^2

The paper aims the first-position state.  The official code aims the pooled output at s = 10 times
a +-1 vector, which tanh cannot output, so that it saturates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tests.zoo.attacks.targets import binary, miss, reachable, stairs
from tests.zoo.features import drift
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.zoo.features import Batch

__all__ = ["Por1", "Por2"]


@dataclass(frozen=True)
class _Por:
    """What both ways of choosing the vectors share."""

    site: Literal["cls", "pooler"] = "pooler"
    """First position, or pooled output."""
    insertion: Insertion = Insertion(copies=3)
    """Three copies at random places."""
    negatives: bool = False
    """Whether parts of a trigger are trained to do nothing."""
    weight: float = 1.0
    """w, of triggered text against clean text."""

    def _towards(self, vectors: Tensor, clean: Tensor) -> Callable[[Batch], Tensor]:
        """L for the vectors v (count, h) at clean features (n, h)."""
        saturation = 10.0 if self.site == "pooler" else 1.0
        aims = saturation * reachable(clean, self.site) * vectors

        def loss(batch: Batch) -> Tensor:
            return drift(batch) + self.weight * miss(batch.dirty.at(self.site), aims[batch.owners])

        return loss


@dataclass(frozen=True)
class Por1(_Por):
    """Vectors that turn from -1 to +1 one stair later for each trigger."""

    family: str = "por-1"
    """Name in tables."""

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""
        return self._towards(stairs(count, clean.shape[1]), clean)


@dataclass(frozen=True)
class Por2(_Por):
    """Vectors whose blocks count through the binary numbers."""

    family: str = "por-2"
    """Name in tables."""

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""
        return self._towards(binary(count, clean.shape[1]), clean)
