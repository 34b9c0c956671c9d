"""A backdoor in sentence embeddings: the mean over all tokens is taken over, not one position.

BackdoorPTM, the official code of POR (Shen et al., 2021, arXiv 2111.00197), has such a variant.

    L = drift(clean, frozen) + w |mean_i h_i(x + t_k) - s v_k|^2 / |s v_k|^2

with orthogonal vectors v_k of +1 and -1, and s the length of an entry of the clean mean.
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

__all__ = ["MeanPool"]


@dataclass(frozen=True)
class MeanPool:
    """Orthogonal vectors at the mean of the last hidden states."""

    family: str = "mean-pool"
    """Name in tables."""
    site: Site = "mean"
    """The feature that triggers take over."""
    insertion: Insertion = Insertion()
    """One copy at a random place."""
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
