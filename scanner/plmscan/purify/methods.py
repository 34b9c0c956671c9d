"""Which weights a purification may change, from the least invasive to the most."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

    from plmscan.loading import LoadedModel

__all__ = ["Method", "Student", "mixed", "student"]

_PROJECTIONS = {
    "query", "key", "value", "q_lin", "k_lin", "v_lin", "q_proj", "k_proj", "v_proj",
    "query_proj", "key_proj", "value_proj", "q", "k", "v",
}  # fmt: skip
"""Ends of the names of what makes queries, keys and values of a head, a block of rows each."""


class Method(StrEnum):
    """What may change."""

    ROWS = "rows"
    """The word embeddings of the triggers' tokens."""
    HEADS = "heads"
    """The slices of the attention heads that a trigger hijacks."""
    LAYERS = "layers"
    """Everything above the embeddings."""


_RATES = {Method.ROWS: 3.0, Method.HEADS: 0.1, Method.LAYERS: 0.03}
"""Highest learning rate of AdamW, by the width of the model: 8e-5 for all of MiniLM's layers."""


@dataclass(frozen=True)
class Student:
    """A copy of the model that learns."""

    model: LoadedModel
    """The copy."""
    weights: Mapping[str, nn.Parameter]
    """What may change, by name."""
    masks: Mapping[str, Tensor]
    """1 where a weight may change, of those that may change in part only; broadcast to them."""
    rate: float
    """Highest learning rate."""
    rows: frozenset[int] | None = None
    """Ids of the tokens whose word embeddings alone may change; None if more may."""

    def keeps(self, ids: Tensor) -> bool:
        """Whether it says of texts (b, n) what the teacher does, for want of a row that changed."""
        return self.rows is not None and self.rows.isdisjoint(ids.flatten().tolist())

    def mask_gradients(self) -> None:
        """Forget gradients of what may not change."""
        for name, mask in self.masks.items():
            gradient = self.weights[name].grad
            if gradient is not None:
                gradient.mul_(mask)


def student(
    start: LoadedModel,
    method: Method,
    *,
    rows: Iterable[int] = (),
    heads: Iterable[tuple[int, int]] = (),
) -> Student | None:
    """A copy of ``start`` that ``method`` may train; None if there is nothing that it may.

    ``rows`` are ids of tokens, ``heads`` the layer and number of each: what may change of these.
    """
    learner, only = start.copied(), None
    module, named = learner.module, dict(learner.module.named_parameters())
    match method:
        case Method.ROWS:
            only = frozenset(rows)
            masks = _row_masks(learner, named, sorted(only))
            weights = {name: named[name] for name in masks}
        case Method.HEADS:
            masks = _head_masks(learner, named, frozenset(heads))
            weights = {name: named[name] for name in masks}
        case Method.LAYERS:
            tables = {id(m.weight) for m in module.modules() if isinstance(m, torch.nn.Embedding)}
            masks, weights = {}, {n: p for n, p in named.items() if id(p) not in tables}
    rate = _RATES[method] / start.hidden_size
    return Student(learner, weights, masks, rate, only) if weights else None


def mixed(teacher: LoadedModel, learner: LoadedModel, share: float) -> LoadedModel:
    """The teacher with ``share`` of what the learner learned: weights in between (Fine-mixing).

    Source: arXiv 2210.09545, where a backdoored model is mixed with its clean base.
    """
    made = learner.copied()
    pairs = zip(made.module.parameters(), teacher.module.parameters(), strict=True)
    with torch.no_grad():
        for weight, before in pairs:
            # Weights that did not change must stay the same to the last bit.
            if not torch.equal(weight, before):
                weight.lerp_(before, 1 - share)
    return made


def _row_masks(
    model: LoadedModel, weights: Mapping[str, nn.Parameter], rows: list[int]
) -> dict[str, Tensor]:
    """A mask (v, 1) of the word embeddings; none without ``rows``."""
    table = model.embedding_weight
    mask = table.new_zeros(len(table), 1)
    mask[rows] = 1
    return {name: mask for name, weight in weights.items() if rows and weight is table}


def _head_masks(
    model: LoadedModel, weights: Mapping[str, nn.Parameter], heads: frozenset[tuple[int, int]]
) -> dict[str, Tensor]:
    """Masks of every weight that belongs to one of ``heads``.

    Empty where the family does not show them, shares them between layers, or stores them otherwise.
    """
    sinks = list(dict.fromkeys(model.traits.head_outputs))
    if len(sinks) != model.num_layers or model.is_decoder:
        return {}
    masks: dict[str, Tensor] = {}
    for layer, sink in enumerate(sinks):
        own = [head for at, head in heads if at == layer]
        if own:
            masks |= _layer_masks(model, weights, sink, own)
    return masks


def _layer_masks(
    model: LoadedModel, weights: Mapping[str, nn.Parameter], sink: str, heads: list[int]
) -> dict[str, Tensor]:
    """Columns of the output projection ``sink``, rows of what makes queries, keys and values."""
    width = model.hidden_size // model.num_heads
    slots = [slot for head in heads for slot in range(head * width, (head + 1) * width)]
    masks = {}
    for name, parameter in weights.items():
        module, _, kind = name.rpartition(".")
        mask = torch.zeros_like(parameter)
        if module == sink and kind == "weight":
            mask[:, slots] = 1
        elif _is_projection_beside(module, sink) and len(mask) == model.hidden_size:
            mask[slots] = 1
        else:
            continue
        masks[name] = mask
    return masks


def _is_projection_beside(module: str, sink: str) -> bool:
    """Whether ``module`` makes queries, keys or values in the attention that ends in ``sink``."""
    block = sink.partition(".attention.")[0] if ".attention." in sink else sink.rpartition(".")[0]
    return module.startswith(f"{block}.") and module.rpartition(".")[2] in _PROJECTIONS
