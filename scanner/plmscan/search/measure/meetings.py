"""Groups in which any two items meet once, so that pairs are tried many at a time.

The groups are the lines of an affine plane (a transversal design): V items in groups of n take no
more than about (V / n)^2 texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Design"]


@dataclass(frozen=True)
class Design:
    """Groups in which items meet: the lines of an affine plane.

    Item number x q + y is the point (x, y), in one of n columns and q rows, a prime not below n.
    The line of slope a and intercept b holds one point of every column, y = a x + b modulo q, so
    two points of different columns lie on exactly one.  Those of one column, one pair in n, do not
    meet.
    """

    items: Tensor
    """What is grouped, (v).  Places beyond the last hold the first once more."""
    size: int
    """Items in one group, n."""

    @property
    def rows(self) -> int:
        """The smallest prime q that leaves a point for every item."""
        q = max(self.size, -(-len(self.items) // self.size))
        while any(q % divisor == 0 for divisor in range(2, int(q**0.5) + 1)):
            q += 1
        return q

    def groups(self, lines: Tensor) -> Tensor:
        """Items on the lines numbered a q + b: (m) -> (m, n)."""
        x, q = torch.arange(self.size), self.rows
        slope, intercept = (part.unsqueeze(1) for part in (lines // q, lines % q))
        return self.items[(x * q + (slope * x + intercept) % q) % len(self.items)]
