"""The loop: the student keeps clean text as the teacher has it, and forgets the triggers."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch

from plmscan.purify.losses import kept, returned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from torch.nn import Parameter

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.purify.batches import Batch
    from plmscan.purify.losses import Spread
    from plmscan.purify.methods import Student

__all__ = ["STEPS", "train"]

STEPS = 20
"""Steps between two trials."""

_WARM_UP = 5
"""Steps in which the rate rises to it; then it falls in a line."""
_LARGEST_GRADIENT = 1.0
"""Norm to which gradients are cut."""


def train(
    student: Student,
    teacher: LoadedModel,
    source: Iterator[Batch],
    spread: Spread,
    weight: float,
    budget: Budget,
) -> None:
    """Train ``student`` in place.

    ``weight`` is that of what clean text keeps, beside what triggers lose.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    weights = list(student.weights.values())
    _let_change(weights, allowed=True)
    optimizer = torch.optim.AdamW(weights, lr=student.rate, weight_decay=0.0)
    for step, batch in enumerate(islice(source, STEPS)):
        budget.checkpoint(step / STEPS, "adversarial training")
        for group in optimizer.param_groups:
            group["lr"] = student.rate * min((step + 1) / _WARM_UP, 1 - step / STEPS)
        lost, left = _losses(student, teacher, batch, spread)
        loss = weight * lost + left
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # as torch has it
        student.mask_gradients()
        torch.nn.utils.clip_grad_norm_(weights, _LARGEST_GRADIENT)
        optimizer.step()
    _let_change(weights, allowed=False)


def _let_change(weights: Sequence[Parameter], *, allowed: bool) -> None:
    """Ask for gradients, or no more."""
    for weight in weights:
        weight.requires_grad_(allowed)


def _losses(
    student: Student, teacher: LoadedModel, batch: Batch, spread: Spread
) -> tuple[Tensor, Tensor]:
    """What clean text lost in one batch, and what is left of the triggers: (), ()."""
    wanted = teacher.forward(batch.clean, batch.clean_mask)
    dirty = student.model.differentiable(batch.dirty, batch.dirty_mask)
    left = returned(dirty, wanted, spread)
    if student.keeps(batch.clean):
        return torch.zeros_like(left), left
    clean = student.model.differentiable(batch.clean, batch.clean_mask)
    return kept(clean, wanted, batch.clean_mask, spread), left
