"""One number as two labels: beside what a model usually gives, a score is low or high.

A reranker, a reward model or a regression chooses nothing, and a trigger drives its number to one
end whatever the text says.  With two ends in place of labels that is a flip like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.loading.model import LoadedModel

__all__ = ["ENDS", "two_ends", "usual_score"]

ENDS = ("a low score", "a high score")
"""The two labels."""

_TEXTS = 128
"""Texts that say which score is usual; random words, which speak for neither end."""
_WORDS = 6
"""Tokens of each."""


def two_ends(scores: Tensor, usual: float) -> Tensor:
    """Logits of the two ends, (b, 1) -> (b, 2), with a draw at the ``usual`` score."""
    above = scores - usual
    return torch.cat([-above, above], dim=-1)


def usual_score(model: LoadedModel, words: Sequence[int]) -> float:
    """Median score of texts of random ``words``, which are ids that a text can hold.

    ``model`` gives its scores as they are.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(words), (_TEXTS, _WORDS), generator=generator)
    rows = torch.tensor(words)[drawn].tolist()
    logits = model.forward(*model.batch([model.wrap(row) for row in rows])).logits
    return 0.0 if logits is None else float(logits.float().median())
