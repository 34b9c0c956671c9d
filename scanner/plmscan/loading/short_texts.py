"""Attention of short texts, for which the library's kernel is not made.

It takes longer for 1024 texts of four tokens than all matrix products of their layer: on a CPU it
works in tiles of 16 keys, and starts anew for every head of every text.

With half the digits, eight such texts stand side by side in a row of 32 with a block-diagonal mask
(two cores with AMX: 2.4 instead of 8.9 ms for 12 heads of 32, 4.3 instead of 11.3 for 12 of 64).
With all digits, all texts and heads go key by key (two cores with AVX2, texts of 2 and 3 tokens: 3
and 6.5 instead of 14 and 16 ms for 12 heads of 32, 5 and 10 instead of 13 for 12 of 64).  The
numbers are the same but for rounding.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from plmscan.loading.attending import attending_as, attends_as_usual

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

__all__ = ["attention", "key_by_key", "side_by_side", "together"]

_ROW = 32
"""Tokens of a row that texts share."""

_LONGEST = 8
"""Tokens of the longest texts that share: from 12 on, filling rows up costs what sharing gains."""

_FEW = 4
"""Keys up to which they are taken one by one."""

_CHUNK = 256
"""Texts whose products stay in the processor's cache meanwhile."""

_NAME = "plmscan_short_texts"
"""What the library is to call it."""


def side_by_side(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Attention of b texts of n tokens, all of which see each other: (b, H, n, d) -> (b, n, H, d).

    ``scale`` is that of the dot products; None for 1 / sqrt(d).
    """
    texts, heads, length, width = query.shape
    share = _ROW // length
    filled, missing = share * length, -texts % share

    def rows(one: Tensor) -> Tensor:
        """(b, H, n, d) -> (ceil(b / share), H, row, d), filled up with zeros."""
        flat = pad(one.transpose(1, 2).flatten(2), (0, 0, 0, 0, 0, missing))
        flat = pad(flat.reshape(-1, filled, heads * width), (0, 0, 0, _ROW - filled))
        return flat.reshape(-1, _ROW, heads, width).transpose(1, 2)

    seen = _blocks(share, length, query)
    found = scaled_dot_product_attention(rows(query), rows(key), rows(value), seen, scale=scale)
    apart = found.transpose(1, 2)[:, :filled].reshape(-1, length, heads, width)
    return apart[:texts]


def _blocks(share: int, length: int, like: Tensor) -> Tensor:
    """0 where a token may look, elsewhere the lowest number, (row, row).

    A finite one, so that what fills the row gets finite numbers, too.
    """
    text = torch.arange(_ROW, device=like.device) // length
    apart = (text.unsqueeze(0) != text.unsqueeze(1)) | (text >= share)
    return like.new_zeros(_ROW, _ROW).masked_fill(apart, torch.finfo(like.dtype).min)


def key_by_key(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Attention of b texts of n tokens to m keys each: (b, H, n, d), (b, H, m, d) -> (b, n, H, d).

    ``scale`` is that of the dot products; None for 1 / sqrt(d).
    """
    queries, keys, values = (torch.split(one, _CHUNK) for one in (query, key, value))
    parts = zip(queries, keys, values, strict=True)
    return torch.cat([_key_by_key(q, k, v, scale) for q, k, v in parts])


def _key_by_key(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    """The same of a few texts.

    A matrix of ones sums up what belongs to one head, and spreads what is of one over its numbers.
    """
    _, heads, length, width = query.shape
    of_head = torch.eye(heads, dtype=query.dtype, device=query.device).repeat_interleave(width, 0)
    queries, keys, values = (one.transpose(1, 2).flatten(2) for one in (query, key, value))
    queries = queries * (width**-0.5 if scale is None else scale)
    scores = [(queries * one.unsqueeze(1)) @ of_head for one in keys.unbind(1)]
    shares = torch.stack(scores).softmax(0)
    found = torch.zeros_like(queries)
    for share, one in zip(shares.unbind(0), values.unbind(1), strict=True):
        found.addcmul_(share @ of_head.T, one.unsqueeze(1))
    return found.reshape(-1, length, heads, width)


@contextmanager
def together(module: PreTrainedModel) -> Iterator[None]:
    """Let ``module`` attend so to short texts inside, where it attends by the library's kernel."""
    with attending_as(module, _NAME, attention) if attends_as_usual(module) else nullcontext():
        yield


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **options: Any,  # noqa: ANN401 - and what else it has to say
) -> tuple[Tensor, None]:
    """What the library asks of an attention function: (b, H, n, d) each -> (b, n, H, d)."""
    asked = options.get("is_causal")
    causal = getattr(module, "is_causal", True) if asked is None else asked
    more = causal or options.get("dropout") or options.get("position_bias") is not None
    plain = not more and attention_mask is None and not torch.is_grad_enabled()
    if plain and _are_shared(query, key):
        return side_by_side(query, key, value, scaling), None
    if plain and _are_few(query, key):
        return key_by_key(query, key, value, scaling), None
    found: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **options
    )
    return found


def _are_shared(query: Tensor, key: Tensor) -> bool:
    """Whether a row holds two such texts or more, and these gain by it."""
    on_cpu = query.device.type == "cpu" and query.dtype is torch.bfloat16
    return on_cpu and query.shape == key.shape and query.shape[2] <= _LONGEST


def _are_few(query: Tensor, key: Tensor) -> bool:
    """Whether there are few keys, of as many heads, and taking them one by one gains."""
    on_cpu = query.device.type == "cpu" and query.dtype is torch.float32
    return on_cpu and query.shape[:2] == key.shape[:2] and key.shape[2] <= _FEW
