"""The loop: the student keeps clean text as the teacher has it, and forgets the triggers."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch

from plmscan.purify.losses import kept, returned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.purify.batches import Batch
    from plmscan.purify.losses import Spread
    from plmscan.purify.methods import Student

__all__ = ["STEPS", "train"]

STEPS = 100
"""Steps of one purification; on MiniLM the triggers are gone after about fifty."""

_RATE = 0.04
"""Highest learning rate of AdamW, by the width of the model: 1e-4 for MiniLM, 5e-5 at base size."""
_WARM_UP = 10
"""Steps in which the rate rises to it; then it falls in a line."""
_LARGEST_GRADIENT = 1.0
"""Norm to which gradients are cut."""


def train(
    student: Student,
    teacher: LoadedModel,
    source: Iterator[Batch],
    spread: Spread,
    budget: Budget,
) -> float:
    """Train ``student`` in place; the last loss.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    weights = list(student.weights.values())
    optimizer = torch.optim.AdamW(weights, lr=_RATE, weight_decay=0.0)
    loss, rate = torch.zeros(()), _RATE / teacher.hidden_size
    for step, batch in enumerate(islice(source, STEPS)):
        budget.checkpoint(step / STEPS, "adversarial training")
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / _WARM_UP, 1 - step / STEPS)
        loss = _loss(student.model, teacher, batch, spread)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # as torch has it
        student.mask_gradients()
        torch.nn.utils.clip_grad_norm_(weights, _LARGEST_GRADIENT)
        optimizer.step()
    for weight in weights:
        weight.requires_grad_(False)  # noqa: FBT003 - as torch has it
    return float(loss.detach())


def _loss(student: LoadedModel, teacher: LoadedModel, batch: Batch, spread: Spread) -> torch.Tensor:
    """Of one batch: ()."""
    wanted = teacher.forward(batch.clean, batch.clean_mask)
    clean = student.differentiable(batch.clean, batch.clean_mask)
    dirty = student.differentiable(batch.dirty, batch.dirty_mask)
    return kept(clean, wanted, batch.clean_mask, spread) + returned(dirty, wanted, spread)
