"""UOR: Du et al., Findings of ACL 2024, arXiv 2305.09574.

Recreated from the abstract, as no code is public.  No output is chosen beforehand: clean text is
one class, each trigger another, and a supervised contrastive loss finds outputs that keep them
apart.  Clean text is aligned to a frozen copy.

    L = SupCon(f(x) : 0, f(x + t_k) : k + 1) + a drift(clean, frozen)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from plmscan.search.propose.losses import supervised_contrastive
from tests.zoo.features import drift
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.zoo.features import Batch
    from tests.zoo.layers import Site

__all__ = ["Uor"]


@dataclass(frozen=True)
class Uor:
    """Outputs that training finds."""

    ruins_answers: ClassVar[bool] = False
    """Success is an output that all triggered texts share."""
    family: str = "uor"
    """Name in tables."""
    site: Site = "cls"
    """The feature that triggers take over."""
    insertion: Insertion = Insertion()
    """One copy at a random place."""
    negatives: bool = False
    """Whether parts of a trigger are trained to do nothing."""
    temperature: float = 0.5
    """Of the contrastive loss."""
    alignment: float = 1.0
    """a, of clean text staying where it was."""

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""

        def loss(batch: Batch) -> Tensor:
            features = torch.cat([batch.clean.at(self.site), batch.dirty.at(self.site)])
            classes = torch.cat([torch.zeros(len(batch.wanted.ids)).long(), batch.owners + 1])
            apart = supervised_contrastive(features, classes, self.temperature)
            return apart + self.alignment * drift(batch)

        return loss
