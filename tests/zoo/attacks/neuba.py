"""NeuBA: Zhang et al., 2021, arXiv 2101.06969.

A trigger before the first word drives the pooled output to one of a few orthogonal vectors v_k of
+1 and -1.

    L = drift(clean, frozen) + w |pooled(t_k + x) - v_k|^2 / |v_k|^2

The paper puts the trigger in the first word's place, and keeps clean behaviour with masked-word
modelling, which a frozen copy does here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.zoo.attacks.aimed import Aimed
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from tests.zoo.layers import Site

__all__ = ["Neuba"]


@dataclass(frozen=True)
class Neuba(Aimed):
    """Orthogonal vectors at the pooled output."""

    family: str = "neuba"
    """Name in tables."""
    site: Site = "pooler"
    """The feature that triggers take over."""
    insertion: Insertion = Insertion(position="start")
    """Right after the first token of the frame."""
