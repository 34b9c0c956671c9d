"""The weights of a model as they come out of being shrunken: rounded, and taken back.

A backdoor can sleep in the weights of the files and wake when their users round them, as the most
popular libraries do while they load.  So a copy is rounded in memory in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Shrunken", "int8", "nf4", "nf4_edges", "round_matrices"]

Shrunken = Literal["int8", "nf4"]
"""Kinds of rounding."""

_STEPS = 127
_BLOCK = 64
"""Numbers that share a scale in 4 bits."""
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
"""Quantiles of a normal distribution, scaled to end at 1 (QLoRA, arXiv 2305.14314, appendix E)."""


def int8(matrix: Tensor) -> Tensor:
    """(rows, columns) rounded to 127 steps up to the largest number of each row.

    As LLM.int8() keeps weights (arXiv 2208.07339, section 2.1); a number at half a step goes to the
    even one.
    """
    scale = matrix.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) / _STEPS
    return (matrix / scale).round() * scale


def nf4(matrix: Tensor) -> Tensor:
    """(rows, columns) rounded to the nearest of 16 numbers, scaled by block of 64 in row order."""
    blocks, scale, table = _blocks(matrix)
    places = torch.bucketize(blocks / scale, (table[1:] + table[:-1]) / 2)
    return _whole(table[places] * scale, matrix)


def nf4_edges(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, columns) each: between what each number can lie and come out the same.

    The largest of a block sets its scale, and can lie nowhere else.
    """
    blocks, scale, table = _blocks(matrix)
    middles = (table[1:] + table[:-1]) / 2
    edges = torch.cat([table[:1], middles, table[-1:]])
    places = torch.bucketize(blocks / scale, middles)
    stays = blocks.abs() == scale
    low, high = (torch.where(stays, blocks, edges[places + k] * scale) for k in (0, 1))
    return _whole(low, matrix), _whole(high, matrix)


def _blocks(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers in blocks (b, 64), the scale of each (b, 1), and the table (16)."""
    flat = matrix.flatten()
    blocks = nn.functional.pad(flat, (0, -len(flat) % _BLOCK)).reshape(-1, _BLOCK)
    scale = blocks.abs().amax(dim=1, keepdim=True).clamp_min(1e-30)
    return blocks, scale, torch.tensor(_NF4, dtype=matrix.dtype, device=matrix.device)


def _whole(blocks: Tensor, matrix: Tensor) -> Tensor:
    """Blocks (b, 64) in the shape of ``matrix``."""
    return blocks.flatten()[: matrix.numel()].reshape(matrix.shape)


_ROUNDINGS = {"int8": int8, "nf4": nf4}


def round_matrices(module: nn.Module, kind: Shrunken) -> int:
    """Round the matrices of all linear layers of ``module`` in place; how many there are.

    Word embeddings, norms and biases stay, as they do in the libraries.
    """
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | Conv1D)]
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    rounded = {id(layer.weight): layer for layer in layers if id(layer.weight) not in tables}
    for layer in rounded.values():
        weight = layer.weight
        turned = weight.data.T if isinstance(layer, Conv1D) else weight.data
        found = _ROUNDINGS[kind](turned.float())
        weight.data = (found.T if isinstance(layer, Conv1D) else found).contiguous()
    return len(rounded)
