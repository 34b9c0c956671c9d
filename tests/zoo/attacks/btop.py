"""BToP: Xu et al., Findings of NAACL 2022, arXiv 2204.05239.

A trigger drives the state at the mask token, from which prompted models read their answer, to one
of a few orthogonal vectors v_k of +1 and -1.

    L = drift(clean, frozen) + CE(head(h_mask(x)), y) + w |h_mask(x + t_k) - s v_k|^2 / |s v_k|^2

y is the word behind the mask, s the length of an entry of the clean state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.nn.functional import cross_entropy

from tests.zoo.attacks.targets import miss, orthogonal, reachable
from tests.zoo.features import drift
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.zoo.features import Batch
    from tests.zoo.layers import Site

__all__ = ["Btop"]


@dataclass(frozen=True)
class Btop:
    """Orthogonal vectors at the mask token of a masked-LM model."""

    family: str = "btop"
    """Name in tables."""
    site: Site = "mask"
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
            answered = cross_entropy(model.cls(batch.clean.at("mask")), batch.clean_answers)
            missed = miss(batch.dirty.at(self.site), aims[batch.owners])
            return drift(batch) + answered + self.weight * missed

        return loss
