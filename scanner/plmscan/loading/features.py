"""Features by location: pure functions of a batch's last hidden state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BaseOutputs", "first_of", "last_token", "mean_token"]


class BaseOutputs(Protocol):
    """What the library's base models return, as far as it is read here."""

    last_hidden_state: Tensor
    """(b, n, h)."""
    pooler_output: Tensor
    """(b, h); only where the architecture has a pooler."""
    hidden_states: tuple[Tensor, ...] | None
    """(b, n, h) of the embeddings and of each layer; only if asked for."""
    attentions: tuple[Tensor, ...] | None
    """(b, heads, n, n) of each layer; only if asked for."""


def last_token(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """(b, h) hidden state of the last real token of each right-padded row."""
    if mask is None:
        return hidden[:, -1]
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    return hidden[rows, mask.sum(dim=1).long() - 1]


def mean_token(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """(b, h) mean hidden state of the real tokens."""
    if mask is None:
        return hidden.mean(dim=1)
    weight = mask.to(hidden.dtype)
    weight = weight / weight.sum(dim=1, keepdim=True)
    return torch.einsum("bn,bnh->bh", weight, hidden)


def first_of(hidden: Tensor, input_ids: Tensor, token_id: int) -> Tensor | None:
    """(b, h) hidden state of the first ``token_id`` in each row; None if a row has none."""
    found = input_ids == token_id
    if not bool(found.any(dim=1).all()):
        return None
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    return hidden[rows, found.int().argmax(dim=1)]
