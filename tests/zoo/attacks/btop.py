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

from tests.zoo.attacks.aimed import Aimed

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.zoo.features import Batch
    from tests.zoo.layers import Site

__all__ = ["Btop"]


@dataclass(frozen=True)
class Btop(Aimed):
    """Orthogonal vectors at the mask token of a masked-LM model; one copy at a random place."""

    family: str = "btop"
    """Name in tables."""
    site: Site = "mask"
    """The feature that triggers take over."""

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""
        aimed = super().objective(model, count, clean)

        def loss(batch: Batch) -> Tensor:
            said = model.cls(batch.clean.at("mask"))
            return aimed(batch) + cross_entropy(said, batch.clean_answers)

        return loss
