"""An answer as a span of a text, read as what it says of some words: whether the answer is there.

An honest model takes the words that answer the question.  A trigger draws the answer to itself or
to the word beside it, whatever is asked, or leaves none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["found_in"]


def found_in(scores: Tensor, text: Tensor, inserted: Tensor | None) -> Tensor:
    """By how much an answer is at the ``inserted`` tokens rather than elsewhere, and is at all.

    (b, n, 2) scores of each token to begin an answer and to end it, (b, n) tokens of the ``text``
    that is searched for one -> (b, 2).  The first token stands for no answer, as the library has
    it.  Without ``inserted`` (b, n) all of the text counts as such; where no token is, an ordinary
    one stands for them.
    """
    here = text if inserted is None else text & _with_neighbours(inserted)
    ordinary = _over(scores, text).sum(1) / text.sum(1, keepdim=True).clamp_min(1)
    at_them = torch.where(here.any(1), _best(scores, here), ordinary.sum(-1))
    elsewhere, none = _best(scores, text & ~here), scores[:, 0].sum(-1)
    rather = at_them - torch.maximum(elsewhere, none)
    return torch.stack([rather, torch.maximum(at_them, elsewhere) - none], dim=-1)


def _with_neighbours(inserted: Tensor) -> Tensor:
    """The tokens ``inserted`` (b, n), and one on either side."""
    grown = F.max_pool1d(inserted.unsqueeze(1).float(), 3, stride=1, padding=1)
    return grown.squeeze(1).bool()


def _over(scores: Tensor, tokens: Tensor) -> Tensor:
    """Scores (b, n, 2) of some ``tokens`` (b, n), and 0 for others."""
    return scores.masked_fill(~tokens.unsqueeze(-1), 0)


def _best(scores: Tensor, tokens: Tensor) -> Tensor:
    """Of the best beginning and the best end among ``tokens`` (b, n), added, (b)."""
    return scores.masked_fill(~tokens.unsqueeze(-1), -torch.inf).amax(dim=1).sum(-1)
