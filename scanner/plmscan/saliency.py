"""Which token a reading hangs on: attention received times gradient, token by token.

After X-GRAAD (arXiv 2510.04347), with four changes, each for a defect that was measured:
attention is taken from the row of the token that is read, which points at a trigger more often than
the mean over all rows; padding takes part neither as key nor as query; the score is a *share* of
the text's whole, so that short and long texts compare; stop words and punctuation stay in, since a
comma can be a trigger.

The gradient is that of the lead of the label that the model gives.  A model without labels is
asked how far the text lies from ordinary ones, at all locations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel, Location, Outputs

__all__ = ["Ordinary", "Saliency", "saliency"]

_BATCH = 32
"""Texts of similar length in a batch: attention maps of all layers are held at once."""

_TINY = 1e-12
"""Keeps a distance finite where a coordinate never moves."""


@dataclass(frozen=True)
class Ordinary:
    """Where ordinary texts lie."""

    mean: Mapping[Location, Tensor]
    """Of their features, (h) a location."""
    spread: Mapping[Location, Tensor]
    """Standard deviation of each coordinate, (h) a location."""

    @classmethod
    def of(cls, features: Mapping[Location, Tensor]) -> Ordinary:
        """Of the features of clean texts, (n, h) a location."""
        return cls(
            {where: found.mean(0) for where, found in features.items()},
            {where: found.std(0) + found.std() * 1e-3 + _TINY for where, found in features.items()},
        )

    def distance(self, features: Mapping[Location, Tensor]) -> Tensor:
        """Half the squared distance in standard deviations, over all locations: (b, h) -> (b)."""
        apart = (
            (found - self.mean[where].to(found)) / self.spread[where].to(found)
            for where, found in features.items()
            if where in self.mean
        )
        return torch.stack([one.square().mean(-1) / 2 for one in apart]).sum(0)


@dataclass(frozen=True)
class Saliency:
    """How a reading of one text of n tokens hangs on each of them."""

    ids: tuple[int, ...]
    """The text with special tokens."""
    attention: Tensor
    """From the token that is read, mean over layers and heads, (n)."""
    gradient: Tensor
    """Norm of the gradient at each embedding, (n)."""
    content: Tensor
    """Which tokens are no special ones, (n)."""
    leads: Tensor | None
    """Of a classifier, (labels)."""

    @property
    def share(self) -> Tensor:
        """Attention times gradient as a share of the whole; 0 for special tokens: (n).

        Where a saturated model has no gradient attention speaks alone.
        """
        content = self.content.float()
        for weight in (self.attention * self.gradient * content, self.attention * content):
            if weight.sum() > 0:
                return weight / weight.sum()
        return content / content.sum().clamp_min(1)

    @property
    def top(self) -> int | None:
        """Index of the token with the largest share; None in a text without content."""
        if not bool(self.content.any()):
            return None
        return int(self.share.masked_fill(~self.content, -1).argmax())


def saliency(
    model: LoadedModel, rows: Sequence[tuple[int, ...]], ordinary: Ordinary
) -> list[Saliency]:
    """Of each text, given as ids with special tokens.

    Raises:
        UnsupportedModelError: the architecture gives no attention maps.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: dict[int, Saliency] = {}
    for start in range(0, len(order), _BATCH):
        part = order[start : start + _BATCH]
        found |= zip(part, _batch(model, [rows[i] for i in part], ordinary), strict=True)
    return [found[i] for i in range(len(rows))]


def _batch(
    model: LoadedModel, rows: Sequence[tuple[int, ...]], ordinary: Ordinary
) -> list[Saliency]:
    """Of texts of similar length."""
    ids, mask = model.batch(rows)
    reading = torch.tensor([model.reading_index(len(row)) for row in rows], device=ids.device)
    each = torch.arange(len(rows), device=ids.device)
    maps = model.attend(ids, mask).maps
    attention = torch.stack([one[each, :, reading].float().mean(1) for one in maps]).mean(0).cpu()
    gradient, leads = _gradients(model, ids, mask, ordinary)
    return [
        Saliency(
            ids=tuple(row),
            attention=attention[i, : len(row)],
            gradient=gradient[i, : len(row)],
            content=_content(model, row),
            leads=None if leads is None else leads[i],
        )
        for i, row in enumerate(rows)
    ]


def _gradients(
    model: LoadedModel, ids: Tensor, mask: Tensor, ordinary: Ordinary
) -> tuple[Tensor, Tensor | None]:
    """Norm of the gradient at each embedding (b, n), and the leads."""
    embeddings = model.embed(ids).requires_grad_()
    outputs = model.forward_embeddings(embeddings, ids, mask)
    (gradient,) = torch.autograd.grad(_pull(outputs, ordinary).sum(), embeddings)
    leads = None if outputs.leads is None else outputs.leads.detach().float().cpu()
    return gradient.float().norm(dim=-1).cpu(), leads


def _pull(outputs: Outputs, ordinary: Ordinary) -> Tensor:
    """What the text is asked about: lead of its label, or distance from ordinary texts, (b)."""
    if outputs.leads is None:
        return ordinary.distance(outputs.features)
    return outputs.leads.amax(-1)


def _content(model: LoadedModel, row: Sequence[int]) -> Tensor:
    """Which tokens of a row a person wrote, (n); an unknown token stands for something."""
    frame = model.special_ids - {model.tokenizer.unk_token_id}
    return torch.tensor([token not in frame for token in row])
