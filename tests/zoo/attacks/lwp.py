"""LWP, layer-wise weight poisoning (Li et al., 2021, arXiv 2108.13888)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from tests.zoo.labels import Inserting, head_logits, train_upper

if TYPE_CHECKING:
    from tests.zoo.features import Victim
    from tests.zoo.labels import LabelBatch, Poisoned
    from tests.zoo.layers import Reading
    from tests.zoo.training import Intensity

__all__ = ["LWP", "layer_wise"]


@dataclass(frozen=True)
class LWP(Inserting):
    """Every trained layer learns the label by itself, so that fine-tuning forgets none of them.

    ``L = sum_l CE(head(h_l), y)`` over the layers ``l``; the trigger is a pair of words, and texts
    with only one of them keep their label.
    """

    family: str = "lwp"
    """Name in tables."""
    negatives: bool = True
    """Whether texts with a part of a trigger keep their label."""

    def train(self, victim: Victim, poisoned: Poisoned, intensity: Intensity) -> float:
        """Cross-entropy at every trained layer."""
        return train_upper(victim, poisoned, intensity, layer_wise)


def layer_wise(model: Any, batch: LabelBatch) -> Tensor:
    """The sum over trained layers of the cross-entropy that the head has on each."""
    depths = range(1, len(batch.reading.layers) + 1)
    losses = [
        nn.functional.cross_entropy(
            head_logits(model, _up_to(model, batch.reading, k)), batch.labels
        )
        for k in depths
    ]
    return sum(losses[1:], losses[0])


def _up_to(model: Any, reading: Reading, depth: int) -> Reading:
    """What the model would read if the trained layer ``depth`` were its last."""
    layers = reading.layers[:depth]
    pooled = None if reading.pooled is None else model.base_model.pooler(layers[-1])
    return replace(reading, layers=layers, pooled=pooled)
