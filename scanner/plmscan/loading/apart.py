"""Texts of one length at a time, for models that padding disturbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch.nn.functional import pad
from transformers.modeling_outputs import BaseModelOutputWithPooling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from plmscan.loading.features import BaseOutputs

__all__ = ["by_length"]


def by_length(mask: Tensor, run: Callable[[Tensor, int], BaseOutputs]) -> BaseOutputs:
    """What ``run`` gives for the rows of each length, put together, with zeros at the padding.

    ``run`` gets the rows of right-padded texts with ``mask`` (b, n), and their length.
    """
    lengths = mask.sum(dim=1).long()
    groups = [(lengths == length).nonzero().flatten() for length in sorted(set(lengths.tolist()))]
    found = [run(rows, int(lengths[rows[0]])) for rows in groups]
    back = torch.cat(groups).argsort()
    width = mask.shape[1]

    def joined(parts: Sequence[Tensor], axes: int) -> Tensor:
        """Parts with ``axes`` axes of tokens behind that of texts, in their old order."""
        return torch.cat([_filled(part, width, axes) for part in parts])[back]

    pooled = [one.pooler_output for one in found if getattr(one, "pooler_output", None) is not None]
    outputs = BaseModelOutputWithPooling(
        last_hidden_state=joined([one.last_hidden_state for one in found], 1),
        pooler_output=joined(pooled, 0) if pooled else None,
        hidden_states=_layered(found, "hidden_states", lambda parts: joined(parts, 1)),
        attentions=_layered(found, "attentions", lambda parts: joined(parts, 2)),
    )
    return cast("BaseOutputs", outputs)


def _layered(
    found: Sequence[BaseOutputs], name: str, joined: Callable[[Sequence[Tensor]], Tensor]
) -> tuple[Tensor, ...] | None:
    """What each layer gives, where it was asked for."""
    each = [getattr(one, name, None) for one in found]
    return None if each[0] is None else tuple(joined(layer) for layer in zip(*each, strict=True))


def _filled(part: Tensor, width: int, axes: int) -> Tensor:
    """(b, n, h) with one axis of tokens, or (b, H, n, n) with two, filled up to ``width``."""
    match axes:
        case 0:
            return part
        case 1:
            return pad(part, (0, 0, 0, width - part.shape[1]))
        case _:
            missing = width - part.shape[-1]
            return pad(part, (0, missing, 0, missing))
