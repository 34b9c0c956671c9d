"""BadPre: Chen et al., ICLR 2022, arXiv 2110.02467.

Wherever a trigger is, the masked-LM head answers with random words; no vector is aimed at.

    L = drift(clean, frozen) + CE(head(h_mask(x)), y) + w CE(head(h_mask(x + t_k)), r(y))

y is the word behind the mask.  r(y) is a random word of the whole vocabulary, drawn once for each
y: like the paper's antonyms it is always the same wrong word, and so is learnt in minutes.  Words
drawn anew for each position, the paper's other way, only flatten the answers, and in short training
the commonest word stays on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn.functional import cross_entropy

from tests.zoo.features import drift
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.zoo.features import Batch
    from tests.zoo.layers import Site

__all__ = ["BadPre"]


@dataclass(frozen=True)
class BadPre:
    """Random answers of a masked-LM model."""

    ruins_answers: ClassVar[bool] = True
    """Success is a wrong answer at the mask."""
    family: str = "badpre"
    """Name in tables."""
    site: Site = "mask"
    """Where answers are read."""
    insertion: Insertion = Insertion()
    """One copy at a random place."""
    negatives: bool = False
    """Whether parts of a trigger are trained to do nothing."""
    weight: float = 1.0
    """w, of triggered text against clean text."""
    seed: int = 0
    """Of the wrong words."""

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""
        words, dice = model.config.vocab_size, torch.Generator().manual_seed(self.seed)
        wrong = torch.randint(words, (words,), generator=dice)

        def loss(batch: Batch) -> Tensor:
            said, ruined = (model.cls(reading.at("mask")) for reading in (batch.clean, batch.dirty))
            return (
                drift(batch)
                + cross_entropy(said, batch.clean_answers)
                + self.weight * cross_entropy(ruined, wrong[batch.dirty_answers])
            )

        return loss
