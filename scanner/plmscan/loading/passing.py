"""A batch through a base model: what it takes, and the embeddings that it looks up."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from plmscan.loading.features import BaseOutputs

__all__ = ["in_place_of", "looking_up", "passed", "taken_by"]


def passed(
    module: nn.Module, ids: Tensor, mask: Tensor | None, **options: bool | Tensor
) -> BaseOutputs:
    """What ``module`` makes of ``ids`` (b, n) with ``mask`` (b, n)."""
    given = taken_by(module, attention_mask=mask, use_cache=False)
    return cast("BaseOutputs", module(input_ids=ids, **given, **options))


def taken_by(module: nn.Module, **arguments: object) -> dict[str, object]:
    """Those of ``arguments`` that ``module`` takes by name."""
    known = inspect.signature(module.forward).parameters
    return {name: value for name, value in arguments.items() if name in known}


@contextmanager
def looking_up(module: PreTrainedModel, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let ``module`` find what ``change`` makes of the word embeddings that it looks up.

    It looks up a text once; LED comes again for its padding, which stays what it is.
    """
    table, ahead = module.get_input_embeddings(), [change]

    def hook(_module: object, _inputs: object, output: Tensor) -> Tensor:
        return ahead.pop()(output) if ahead else output

    handle = table.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def in_place_of(looked_up: Tensor, embeddings: Tensor, ahead: int) -> Tensor:
    """``embeddings`` (b, n, e) instead of those of ``looked_up`` (b, m, e) behind the first few.

    Some models look up more than a text: a prompt ``ahead`` of it, or padding behind.
    """
    if looked_up.shape == embeddings.shape:
        return embeddings.clone()  # CTRL scales what it looks up in place
    behind = ahead + embeddings.shape[1]
    return torch.cat([looked_up[:, :ahead], embeddings, looked_up[:, behind:]], dim=1)
