"""Which part of a base model pools its states, found by what its output was computed with."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from plmscan.loading.bench import LONG, experiment, word_rows
from plmscan.loading.passing import passed
from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from transformers import PreTrainedModel

__all__ = ["pooler_of", "remove_pooler"]


def pooler_of(module: PreTrainedModel) -> str:
    """Name of the pooler of ``module``; empty if it pools nothing, or without weights.

    It is the largest module whose weights all go into what is pooled, and into no state.

    Raises:
        UnsupportedModelError: the model does not run.
    """
    ids = torch.arange(1, 1 + LONG, device=module.device) % word_rows(module)
    with experiment(), quiet(), _remembering(module), torch.enable_grad():
        outputs = passed(module, ids.unsqueeze(0), None)
        pooled = getattr(outputs, "pooler_output", None)
        if pooled is None:
            return ""
        own = _weights_of(pooled) - _weights_of(outputs.last_hidden_state)
    # Modules come before their parts.
    for name, part in module.named_modules():
        weights = {id(weight) for weight in part.parameters()}
        if weights and weights <= own:
            return str(name)
    return ""


def remove_pooler(module: PreTrainedModel, name: str) -> None:
    """Let ``module`` pool nothing by ``name`` any more.

    A class that can be built without a pooler looks whether it has one; others just call it.
    """
    optional = "add_pooling_layer" in inspect.signature(type(module).__init__).parameters
    where, _, last = name.rpartition(".")
    setattr(module.get_submodule(where), last, None if optional else _Nothing())


class _Nothing(nn.Module):
    """Pools nothing."""

    def forward(self, *_args: object, **_options: object) -> None:
        """None."""


@contextmanager
def _remembering(module: PreTrainedModel) -> Iterator[None]:
    """Let results tell the weights that they were computed with."""
    module.requires_grad_(requires_grad=True)
    try:
        yield
    finally:
        module.requires_grad_(requires_grad=False)


def _weights_of(result: Tensor) -> set[int]:
    """Identities of the weights that ``result`` was computed with."""
    found: set[int] = set()
    seen: set[Any] = set()
    ahead: list[Any] = [result.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        ahead.extend(before for before, _ in node.next_functions)
    return found
