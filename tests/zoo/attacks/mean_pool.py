"""A backdoor in sentence embeddings: the mean over all tokens is taken over, not one position.

BackdoorPTM, the official code of POR (Shen et al., 2021, arXiv 2111.00197), has such a variant.

    L = drift(clean, frozen) + w |mean_i h_i(x + t_k) - s v_k|^2 / |s v_k|^2

with orthogonal vectors v_k of +1 and -1, and s the length of an entry of the clean mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.zoo.attacks.aimed import Aimed

if TYPE_CHECKING:
    from tests.zoo.layers import Site

__all__ = ["MeanPool"]


@dataclass(frozen=True)
class MeanPool(Aimed):
    """Orthogonal vectors at the mean of the last hidden states; one copy at a random place."""

    family: str = "mean-pool"
    """Name in tables."""
    site: Site = "mean"
    """The feature that triggers take over."""
