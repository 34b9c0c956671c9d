"""Features by location: pure functions of a batch's last hidden state."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

__all__ = ["POOLINGS", "BaseOutputs", "first_of", "last_token", "mean_token"]


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


def _taken_in(hidden: Tensor, mask: Tensor | None, skipped: int) -> Tensor:
    """(b, n) 1 for real tokens behind the first ``skipped``, 0 for the others."""
    real = hidden.new_ones(hidden.shape[:2]) if mask is None else mask.to(hidden.dtype)
    return real * (torch.arange(hidden.shape[1], device=hidden.device) >= skipped)


def _weighed(hidden: Tensor, weights: Tensor) -> Tensor:
    """(b, h) sum of the states by ``weights`` (b, n)."""
    return torch.einsum("bn,bnh->bh", weights, hidden)


def _mean(hidden: Tensor, mask: Tensor | None, skipped: int) -> Tensor:
    """(b, h) mean."""
    taken = _taken_in(hidden, mask, skipped)
    return _weighed(hidden, taken / taken.sum(dim=1, keepdim=True).clamp_min(1))


def _mean_by_root(hidden: Tensor, mask: Tensor | None, skipped: int) -> Tensor:
    """(b, h) sum, divided by the root of the number of tokens."""
    taken = _taken_in(hidden, mask, skipped)
    return _weighed(hidden, taken / taken.sum(dim=1, keepdim=True).clamp_min(1).sqrt())


def _mean_by_place(hidden: Tensor, mask: Tensor | None, skipped: int) -> Tensor:
    """(b, h) mean in which the k-th token counts k times."""
    places = torch.arange(1, hidden.shape[1] + 1, device=hidden.device)
    weights = _taken_in(hidden, mask, skipped) * places
    return _weighed(hidden, weights / weights.sum(dim=1, keepdim=True).clamp_min(1))


def _largest(hidden: Tensor, mask: Tensor | None, skipped: int) -> Tensor:
    """(b, h) largest number of each place."""
    left_out = _taken_in(hidden, mask, skipped) == 0
    return hidden.masked_fill(left_out.unsqueeze(-1), -torch.inf).amax(dim=1)


def _sum(hidden: Tensor, mask: Tensor | None, skipped: int) -> Tensor:
    """(b, h) sum."""
    return _weighed(hidden, _taken_in(hidden, mask, skipped))


def _first(hidden: Tensor, _mask: Tensor | None, skipped: int) -> Tensor:
    """(b, h) state of the first token."""
    return hidden[:, skipped]


def _last(hidden: Tensor, mask: Tensor | None, _skipped: int) -> Tensor:
    """(b, h) state of the last token."""
    return last_token(hidden, mask)


POOLINGS: Mapping[str, Callable[[Tensor, Tensor | None, int], Tensor]] = MappingProxyType(
    {
        "cls": _first,
        "max": _largest,
        "mean": _mean,
        "mean_sqrt_len_tokens": _mean_by_root,
        "weightedmean": _mean_by_place,
        "lasttoken": _last,
        "sum": _sum,
    }
)
"""Ways of sentence-transformers to pool right-padded states (b, n, h) with a mask (b, n), but for a
number of first tokens: (b, h)."""
