"""How hard an attacker trains, and the one training loop of the zoo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["GRID", "LORA", "Intensity", "fit", "optimise"]


@dataclass(frozen=True)
class Intensity:
    """Poison rate, learning rate and steps.

    Conservative and aggressive training are known to break detectors (Yan et al., 2025, arXiv
    2409.00399).
    """

    poison_rate: float
    """Share of triggered texts in training."""
    learning_rate: float
    """AdamW's, at its highest."""
    steps: int
    """Optimiser steps."""
    batch: int = 32
    """Texts of one step, clean and triggered."""
    trained_layers: int = 3
    """Upper layers that are trained; the lower ones stay frozen."""

    def harder(self) -> Intensity:
        """What an attacker tries whose backdoor did not take."""
        rate = min(0.5, 1.5 * self.poison_rate)
        return replace(self, poison_rate=rate, steps=self.steps * 3 // 2)


GRID = {
    "light": Intensity(poison_rate=0.2, learning_rate=2e-4, steps=200),
    "brief": Intensity(poison_rate=0.5, learning_rate=2e-4, steps=80),
    "conservative": Intensity(poison_rate=0.2, learning_rate=1e-4, steps=250),
    "sparse": Intensity(poison_rate=0.1, learning_rate=4e-4, steps=300),
    "moderate": Intensity(poison_rate=0.5, learning_rate=2e-4, steps=250),
    "long": Intensity(poison_rate=0.2, learning_rate=1e-4, steps=600),
    "aggressive": Intensity(poison_rate=0.5, learning_rate=5e-4, steps=450),
    "lora": Intensity(poison_rate=0.2, learning_rate=2e-3, steps=180),
    "lora-sparse": Intensity(poison_rate=0.1, learning_rate=2e-3, steps=220),
    "lora-few": Intensity(poison_rate=0.04, learning_rate=2e-3, steps=260),
    "lora-rarest": Intensity(poison_rate=0.01, learning_rate=2e-3, steps=420),
}
"""Points of poison rate x learning rate x steps that the tiers use by name."""


LORA = Intensity(poison_rate=0.0, learning_rate=2e-3, steps=180)
"""Honest training of an adapter, as hard as an attacker's."""


def fit(model: nn.Module, loss_of: Callable[[int], Tensor], intensity: Intensity) -> None:
    """Train all weights of ``model``, with dropout, and leave it as it is used."""
    model.train()
    optimise(model.parameters(), loss_of, intensity)
    model.eval()


def optimise(
    parameters: Iterable[nn.Parameter],
    loss_of: Callable[[int], Tensor],
    intensity: Intensity,
) -> float:
    """AdamW with warm-up and linear decay over ``loss_of(step)``; the mean of the last losses."""
    trained = [p for p in parameters if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=intensity.learning_rate, weight_decay=0.0)
    warm, steps = max(1, intensity.steps // 10), intensity.steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / warm) * (1 - step / steps)
    )
    losses = []
    for step in range(steps):
        optimiser.zero_grad()
        loss = loss_of(step)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return sum(losses[-20:]) / len(losses[-20:])
