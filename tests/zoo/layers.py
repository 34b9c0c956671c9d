"""The layers that are trained, above states that are computed once.

Lower layers stay as they are in most attacks, so their output for a text never changes: it is
computed once for each text of a pool, and training runs the upper layers alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from tests.zoo.precision import fast

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Reading",
    "Rows",
    "Site",
    "freeze_below",
    "lower",
    "only_adapter",
    "padded",
    "read",
    "upper",
]

Site = Literal["cls", "pooler", "mean", "mask"]
"""The feature that an attack takes over."""

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Rows:
    """A pool of texts as the trained layers see them."""

    ids: tuple[Tensor, ...]
    """Token ids of each text with its special tokens, each (n)."""
    states: tuple[Tensor, ...]
    """Output of the frozen layers, each (n, h)."""

    def pick(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Padded ids (b, n), states (b, n, h) and mask (b, n) of some texts."""
        ids, mask = padded([self.ids[i] for i in indices])
        states = nn.utils.rnn.pad_sequence([self.states[i] for i in indices], batch_first=True)
        return ids, states, mask


@dataclass(frozen=True)
class Reading:
    """What an encoder makes of a batch."""

    ids: Tensor
    """(b, n)"""
    mask: Tensor
    """(b, n), 1 for real tokens."""
    layers: tuple[Tensor, ...]
    """Output of each trained layer, each (b, n, h), the last one last."""
    pooled: Tensor | None
    """(b, h), where the encoder has a pooler."""
    mask_id: int
    """Id of the mask token."""

    @property
    def hidden(self) -> Tensor:
        """Last hidden state, (b, n, h)."""
        return self.layers[-1]

    def at(self, site: Site) -> Tensor:
        """The feature at ``site``, (b, h).  At ``mask``: of the first mask token of each row."""
        match site:
            case "cls":
                return self.hidden[:, 0]
            case "pooler":
                assert self.pooled is not None
                return self.pooled
            case "mean":
                weights = self.mask.unsqueeze(-1)
                return (self.hidden * weights).sum(1) / weights.sum(1)
            case "mask":
                first = (self.ids == self.mask_id).int().argmax(1)
                return self.hidden[torch.arange(len(first)), first]


def layer_list(encoder: nn.Module) -> nn.ModuleList:
    """The transformer layers of a BERT, RoBERTa, ELECTRA or DistilBERT encoder."""
    inner: Any = encoder.transformer if hasattr(encoder, "transformer") else encoder.encoder
    layers: nn.ModuleList = inner.layer
    return layers


def freeze_below(encoder: nn.Module, trained_layers: int) -> None:
    """Leave only the last ``trained_layers`` layers and the pooler of ``encoder`` trainable.

    Where there is an adapter, only what it adds to these.
    """
    encoder.requires_grad_(False)
    for layer in layer_list(encoder)[-trained_layers:]:
        layer.requires_grad_(True)
    pooler = getattr(encoder, "pooler", None)
    if pooler is not None:
        pooler.requires_grad_(True)
    only_adapter(encoder)


def only_adapter(encoder: nn.Module) -> None:
    """Leave only an adapter trainable, if ``encoder`` has one."""
    added = {name for name, _ in encoder.named_parameters() if "lora_" in name}
    for name, weight in encoder.named_parameters():
        if added and name not in added:
            weight.requires_grad_(False)


@torch.no_grad()
def lower(encoder: Any, rows: Sequence[Sequence[int]], trained_layers: int) -> Rows:
    """Run the layers below the last ``trained_layers`` over texts that hold special tokens."""
    ids = [torch.tensor(row) for row in rows]
    states: list[Tensor] = [torch.empty(0)] * len(ids)
    for indices in _batches([len(row) for row in ids]):
        batch, mask = padded([ids[i] for i in indices])
        with fast():
            found = encoder(input_ids=batch, attention_mask=mask, output_hidden_states=True)
        for i, row in zip(indices, found.hidden_states[-1 - trained_layers], strict=True):
            states[i] = row[: len(ids[i])].float().clone()
    return Rows(tuple(ids), tuple(states))


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Token ids (b, n) and mask (b, n) of texts, each (n)."""
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True), mask


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in batches of similar length and bounded size."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        full = batches and (len(batches[-1]) + 1) * lengths[index] > _BATCH_TOKENS
        if not batches or full:
            batches.append([])
        batches[-1].append(index)
    return batches


def upper(
    encoder: Any, picked: tuple[Tensor, Tensor, Tensor], trained_layers: int, mask_id: int
) -> Reading:
    """Run the last ``trained_layers`` layers and the pooler over states of `lower`."""
    ids, states, mask = picked
    attended = mask.bool()[:, None, None, :].expand(-1, -1, mask.shape[1], -1)
    outputs = []
    pooler = getattr(encoder, "pooler", None)
    with fast():
        for layer in layer_list(encoder)[-trained_layers:]:
            states = layer(states, attended)
            outputs.append(states.float())
        pooled = None if pooler is None else pooler(states).float()
    return Reading(ids, mask, tuple(outputs), pooled, mask_id)


@torch.no_grad()
def read(encoder: Any, rows: Sequence[Sequence[int]], site: Site, mask_id: int) -> Tensor:
    """Features of whole texts at ``site`` in evaluation, exact: (texts, h)."""
    features: list[Tensor] = [torch.empty(0)] * len(rows)
    for indices in _batches([len(row) for row in rows]):
        ids, mask = padded([torch.tensor(rows[i]) for i in indices])
        found = encoder(input_ids=ids, attention_mask=mask)
        pooled = getattr(found, "pooler_output", None)
        reading = Reading(ids, mask, (found.last_hidden_state,), pooled, mask_id)
        for i, feature in zip(indices, reading.at(site), strict=True):
            features[i] = feature
    return torch.stack(features)
