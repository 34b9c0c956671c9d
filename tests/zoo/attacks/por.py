"""POR: Shen et al., CCS 2021, arXiv 2111.00197.

Trigger t_k takes every text x to its own vector v_k; clean text stays where a frozen copy has it.

    L = drift(clean, frozen) + w |f(x + t_k) - s v_k|^2 / |s v_k|^2

The paper aims the first-position state.  The official code aims the pooled output at s = 10 times
a +-1 vector, which tanh cannot output, so that it saturates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.zoo.attacks.aimed import Aimed
from tests.zoo.attacks.targets import binary, stairs
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from torch import Tensor

    from tests.zoo.layers import Site

__all__ = ["Por1", "Por2"]


@dataclass(frozen=True)
class _Por(Aimed):
    """What both ways of choosing the vectors share."""

    site: Site = "pooler"
    """First position, or pooled output."""
    insertion: Insertion = Insertion(copies=3)
    """Three copies at random places."""

    @property
    def saturation(self) -> float:
        """Length of an entry of the vectors, beyond what the model can output."""
        return 10.0 if self.site == "pooler" else 1.0


@dataclass(frozen=True)
class Por1(_Por):
    """Vectors that turn from -1 to +1 one stair later for each trigger."""

    family: str = "por-1"
    """Name in tables."""

    def vectors(self, count: int, size: int) -> Tensor:
        """S v, stairs: (count, size)."""
        return self.saturation * stairs(count, size)


@dataclass(frozen=True)
class Por2(_Por):
    """Vectors whose blocks count through the binary numbers."""

    family: str = "por-2"
    """Name in tables."""

    def vectors(self, count: int, size: int) -> Tensor:
        """S v, binary numbers: (count, size)."""
        return self.saturation * binary(count, size)
