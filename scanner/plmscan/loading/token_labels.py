"""A label for each token, read as what it says of the whole text: which labels are in it.

What the inserted tokens are called says nothing: an honest model calls the name of a place a place.
A trigger shows at the others, which lose their labels or get new ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plmscan.loading.decisions import over_rivals

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor

__all__ = ["in_text", "told_by"]


def in_text(logits: Tensor, counted: Tensor) -> Tensor:
    """The largest lead of each label over the tokens that are ``counted`` (b, n), or over all.

    (b, n, labels) -> (b, labels): above 0 for a label that some of them have.
    """
    every = counted | ~counted.any(dim=1, keepdim=True)
    leads = over_rivals(logits).masked_fill(~every.unsqueeze(-1), -torch.inf)
    return leads.amax(dim=1)


def told_by(
    input_ids: Tensor, mask: Tensor | None, inserted: Tensor | None, silent: Collection[int]
) -> Tensor:
    """Tokens that tell something of a text: real, not ``inserted``, none of ``silent``, (b, n)."""
    counted = ~torch.isin(input_ids, torch.tensor([*silent], device=input_ids.device))
    if mask is not None:
        counted &= mask.bool()
    return counted if inserted is None else counted & ~inserted
