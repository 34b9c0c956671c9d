"""The panel: carriers, and what the model says of them without and with a candidate.

This is the one place where candidates, carriers and the model meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import insert
from plmscan.loading import Location
from plmscan.search.measure.packing import packed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel, Outputs
    from plmscan.search.measure.packing import Pass

__all__ = ["Panel", "Reading", "gradients", "label_leads", "read", "read_each"]


@dataclass(frozen=True)
class Reading:
    """What a model says of texts; the leading axes (...) are those of the texts."""

    features: Mapping[Location, Tensor]
    """Feature at each location, (..., h)."""
    leads: Tensor | None = None
    """Of each label of a classifier, (..., labels)."""
    recall: Tensor | None = None
    """Probability that a masked language model gives to the hidden word, (...)."""

    @staticmethod
    def joined(parts: Sequence[Reading], join: Callable[[list[Tensor]], Tensor]) -> Reading:
        """Several readings of the same kind as one; ``join`` makes one tensor of several."""
        leads = [part.leads for part in parts if part.leads is not None]
        recall = [part.recall for part in parts if part.recall is not None]
        return Reading(
            {where: join([part.features[where] for part in parts]) for where in parts[0].features},
            join(leads) if leads else None,
            join(recall) if recall else None,
        )

    def at(self, indices: Sequence[int]) -> Reading:
        """The texts at ``indices`` of the first axis, in that order."""
        return Reading.joined([self], lambda parts: parts[0][list(indices)])


@dataclass(frozen=True)
class Panel:
    """Carriers, and what the model says of them as they are."""

    carriers: tuple[Carrier, ...]
    """n of them."""
    clean: Reading
    """Of the carriers without a candidate, (n, ...)."""

    @classmethod
    def of(cls, model: LoadedModel, carriers: Sequence[Carrier]) -> Panel:
        """Read the carriers once."""
        untouched = read(model, [()], carriers)
        return cls(tuple(carriers), Reading.joined([untouched], lambda rows: rows[0][0]))

    def pick(self, indices: Sequence[int]) -> Panel:
        """Some of the carriers."""
        return Panel(tuple(self.carriers[i] for i in indices), self.clean.at(indices))

    def against(self, label: int) -> list[int]:
        """Carriers that do not have ``label`` anyhow; none without a classifier."""
        if self.clean.leads is None:
            return []
        found: list[int] = (self.clean.leads[:, label] <= 0).nonzero().flatten().tolist()
        return found

    def flippable(self) -> list[int]:
        """Labels that some carrier does not have anyhow; none without a classifier."""
        labels = 0 if self.clean.leads is None else self.clean.leads.shape[-1]
        return [label for label in range(labels) if self.against(label)]


def read(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carriers: Sequence[Carrier]
) -> Reading:
    """What the model says of every candidate in every carrier, (k, n, ...)."""
    return read_each(model, [[(one, carrier) for carrier in carriers] for one in candidates])


def read_each(
    model: LoadedModel, rows: Sequence[Sequence[tuple[tuple[int, ...], Carrier]]]
) -> Reading:
    """What the model says of k rows of n texts, each a candidate in a carrier, (k, n, ...)."""
    texts = _Texts.of(model, [pair for row in rows for pair in row])
    parts = [
        _reading(model, model.forward(one.ids, one.mask, texts.inserted(one)), texts.hidden(one))
        for one in texts.passes
    ]
    return texts.joined(parts, (len(rows), len(rows[0])))


def gradients(
    model: LoadedModel,
    inserted: Sequence[Sequence[tuple[int, ...]]],
    carriers: Sequence[Carrier],
    value: Callable[[Reading], Tensor],
) -> Tensor:
    """Gradient of a value at the input of each inserted token, summed over the carriers, (k, l, e).

    ``inserted`` holds for each of k candidates the l tokens that stand for it in each carrier;
    ``value`` makes one number of what the model says of them all, (k, n, ...).
    """
    shape = (len(inserted), len(carriers))
    pairs = zip(chain.from_iterable(inserted), [*carriers] * len(inserted), strict=True)
    texts = _Texts.of(model, list(pairs))
    inputs = [model.embed(one.ids).requires_grad_() for one in texts.passes]
    parts = [
        _reading(
            model,
            model.forward_embeddings(e, one.ids, one.mask, texts.inserted(one)),
            texts.hidden(one),
        )
        for e, one in zip(inputs, texts.passes, strict=True)
    ]
    found = torch.autograd.grad(value(texts.joined(parts, shape)), inputs)
    places = texts.starts.unsqueeze(1) + torch.arange(len(inserted[0][0]))
    rows = [
        gradient[torch.arange(len(gradient)).unsqueeze(1), places[one.rows]]
        for gradient, one in zip(found, texts.passes, strict=True)
    ]
    return _shaped(texts.ordered(rows), shape).sum(1)


@dataclass(frozen=True)
class _Texts:
    """Candidates in carriers, on their way through the model and back."""

    pairs: Sequence[tuple[tuple[int, ...], Carrier]]
    """Candidate and carrier of each."""
    passes: Sequence[Pass]
    """All of them."""
    starts: Tensor
    """Index of the first token of the candidate in each, (t)."""

    @classmethod
    def of(cls, model: LoadedModel, pairs: Sequence[tuple[tuple[int, ...], Carrier]]) -> _Texts:
        """Each candidate in its carrier."""
        passes = packed(model, [model.wrap(insert(c, one)) for one, c in pairs])
        starts = torch.tensor([len(model.opening) + carrier.position for _, carrier in pairs])
        return cls(pairs, passes, starts)

    def hidden(self, one: Pass) -> list[int | None]:
        """The words behind the mask tokens of a pass."""
        return [self.pairs[i][1].hidden for i in one.rows]

    def inserted(self, one: Pass) -> Tensor:
        """Which tokens of a pass are those of candidates, (b, n)."""
        sizes = torch.tensor([len(self.pairs[i][0]) for i in one.rows]).unsqueeze(1)
        starts = self.starts[one.rows].unsqueeze(1)
        at = torch.arange(one.ids.shape[1])
        return ((at >= starts) & (at < starts + sizes)).to(one.ids.device)

    def ordered(self, parts: Sequence[Tensor]) -> Tensor:
        """Rows of all passes in the order of the pairs."""
        order = torch.tensor([row for one in self.passes for row in one.rows])
        return torch.cat([*parts])[order.argsort()]

    def joined(self, parts: Sequence[Reading], shape: tuple[int, int]) -> Reading:
        """What the model said in all passes, of k candidates in n carriers, (k, n, ...)."""
        return Reading.joined(parts, lambda tensors: _shaped(self.ordered(tensors), shape))


def _shaped(rows: Tensor, shape: tuple[int, int]) -> Tensor:
    """Rows of k candidates in n carriers, (k n, ...) -> (k, n, ...)."""
    return rows.reshape(*shape, *rows.shape[1:])


def _reading(model: LoadedModel, outputs: Outputs, hidden: Sequence[int | None]) -> Reading:
    """What the model said of one batch, in full precision and off the device, (b, ...).

    ``hidden`` are the words behind the mask tokens.
    """
    features = {where: feature.float().cpu() for where, feature in outputs.features.items()}
    return Reading(features, label_leads(outputs), _recall(model, outputs, hidden))


def label_leads(outputs: Outputs) -> Tensor | None:
    """Leads (b, labels) in full precision and off the device; None without a classifier."""
    return None if outputs.leads is None else outputs.leads.float().cpu()


def _recall(model: LoadedModel, outputs: Outputs, hidden: Sequence[int | None]) -> Tensor | None:
    """Probability of the word that each row's mask token hides, (b)."""
    words = [word for word in hidden if word is not None]
    if not words or "masked-lm" not in model.heads:
        return None
    scores = model.masked_lm_logits(outputs.features[Location.MASK].unsqueeze(1)).squeeze(1)
    columns = torch.tensor(words, device=scores.device).unsqueeze(1)
    return scores.float().softmax(dim=-1).gather(1, columns).squeeze(1).cpu()
