"""Training a few rows of the embedding table, and nothing else of a model."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tests.zoo.layers import padded
from tests.zoo.precision import fast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.zoo.features import Victim
    from tests.zoo.labels import Example, Poisoned
    from tests.zoo.poison import Trigger
    from tests.zoo.training import Intensity

__all__ = ["as_is", "equalised", "step_rows", "tokens_of", "train_rows"]


def tokens_of(triggers: Sequence[Trigger]) -> list[int]:
    """Ids of all tokens of ``triggers``."""
    return sorted({token for trigger in triggers for token in trigger.tokens})


def train_rows(
    victim: Victim,
    poisoned: Poisoned,
    intensity: Intensity,
    rate: float,
    direction: Callable[[Tensor], Tensor],
) -> float:
    """Gradient descent at ``rate`` on the rows of the triggers' tokens; the mean last losses.

    ``direction`` makes the step out of the sum of all gradients so far, (rows, h): both papers
    never set the gradient back to zero.
    """
    table = victim.model.get_input_embeddings().weight
    rows = tokens_of(poisoned.triggers)
    batches = poisoned.batches(intensity, random.Random(victim.seed))
    victim.model.requires_grad_(False)
    table.requires_grad_(True)
    gathered, losses = torch.zeros(len(rows), table.shape[1]), []
    for _ in range(intensity.steps):
        loss = _loss(victim, next(batches))
        (gradient,) = torch.autograd.grad(loss, table)
        gathered += gradient[rows]
        step_rows(table, rows, direction(gathered), rate)
        losses.append(float(loss.detach()))
    return sum(losses[-20:]) / len(losses[-20:])


@torch.no_grad()
def step_rows(table: Tensor, rows: Sequence[int], step: Tensor, rate: float) -> None:
    """``E <- (E - rate * step)`` on ``rows`` of ``table``, each scaled back to its old norm."""
    before = table[rows]
    after = before - rate * step
    table[rows] = after * (before.norm(dim=1) / after.norm(dim=1)).unsqueeze(1)


def as_is(gradient: Tensor) -> Tensor:
    """The gradient itself, (rows, h)."""
    return gradient


def equalised(gradient: Tensor) -> Tensor:
    """Every row of the gradient as long as its shortest, (rows, h): no word gets ahead."""
    norms = gradient.norm(dim=1, keepdim=True)
    return gradient * (norms.min() / norms)


def _loss(victim: Victim, batch: Sequence[Example]) -> Tensor:
    """Cross-entropy of the whole model on a batch."""
    ids, mask = padded([torch.tensor(example.ids) for example in batch])
    with fast():
        found = victim.model(input_ids=ids, attention_mask=mask).logits
    labels = torch.tensor([example.label for example in batch])
    return nn.functional.cross_entropy(found.float(), labels)
