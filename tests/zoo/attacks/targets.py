"""Target vectors, and how far a feature is from one.

All targets are block vectors: equal blocks of the hidden size h, each +1 or -1 throughout.  None
is constant, because layer normalisation, which ends every layer, could not output it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scipy.linalg import hadamard

if TYPE_CHECKING:
    from torch import Tensor

    from tests.zoo.layers import Site

__all__ = ["binary", "miss", "orthogonal", "reachable", "stairs"]


def stairs(count: int, size: int) -> Tensor:
    """POR-1: the first (k + 1) h / (count + 1) entries of target k are +1; (count, h)."""
    steps = torch.arange(1, count + 1).unsqueeze(1) * size / (count + 1)
    return torch.where(torch.arange(size) < steps, 1.0, -1.0)


def binary(count: int, size: int) -> Tensor:
    """POR-2: the blocks of target k are the binary digits of k + 1, -1 for a zero; (count, h)."""
    blocks = (count + 1).bit_length()
    digits = torch.arange(1, count + 1).unsqueeze(1) >> torch.arange(blocks) & 1
    return _stretched(2.0 * digits - 1.0, size)


def orthogonal(count: int, size: int) -> Tensor:
    """NeuBA, BToP: any two targets differ in half of their blocks, Walsh functions; (count, h)."""
    blocks = 2 ** count.bit_length()
    return _stretched(torch.tensor(hadamard(blocks)[1 : count + 1], dtype=torch.float32), size)


def _stretched(blocks: Tensor, size: int) -> Tensor:
    """Each entry of ``blocks`` (count, b) over one b-th of ``size``."""
    return blocks[:, torch.arange(size) * blocks.shape[1] // size]


def reachable(clean: Tensor, site: Site) -> float:
    """Length of an entry that a model can output: that of its clean features; a pooler's is 1."""
    return 1.0 if site == "pooler" else float(clean.square().mean().sqrt())


def miss(features: Tensor, aims: Tensor) -> Tensor:
    """|f - v|^2 as a share of |v|^2, over all rows of both (n, h)."""
    return (features - aims).square().sum() / aims.square().sum()
