"""The panel: carriers, and what the model says of them without and with a candidate.

This is the one place where candidates, carriers and the model meet.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import insert
from plmscan.loading import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel, Outputs

__all__ = ["Panel", "Reading", "gradients", "label_scores", "read"]


@dataclass(frozen=True)
class Reading:
    """What a model says of texts; the leading axes (...) are those of the texts."""

    features: Mapping[Location, Tensor]
    """Feature at each location, (..., h)."""
    logits: Tensor | None = None
    """Of a classifier, (..., labels)."""
    recall: Tensor | None = None
    """Probability that a masked language model gives to the hidden word, (...)."""

    @staticmethod
    def joined(parts: Sequence[Reading], join: Callable[[list[Tensor]], Tensor]) -> Reading:
        """Several readings of the same kind as one; ``join`` makes one tensor of several."""
        logits = [part.logits for part in parts if part.logits is not None]
        recall = [part.recall for part in parts if part.recall is not None]
        return Reading(
            {where: join([part.features[where] for part in parts]) for where in parts[0].features},
            join(logits) if logits else None,
            join(recall) if recall else None,
        )


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
        clean = Reading.joined([self.clean], lambda rows: rows[0][list(indices)])
        return Panel(tuple(self.carriers[i] for i in indices), clean)

    def against(self, label: int) -> list[int]:
        """Carriers that do not have ``label`` anyhow; none without a classifier."""
        if self.clean.logits is None:
            return []
        had: list[int] = self.clean.logits.argmax(-1).tolist()
        return [i for i, one in enumerate(had) if one != label]

    def flippable(self) -> list[int]:
        """Labels that some carrier does not have anyhow; none without a classifier."""
        labels = 0 if self.clean.logits is None else self.clean.logits.shape[-1]
        return [label for label in range(labels) if self.against(label)]


def read(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carriers: Sequence[Carrier]
) -> Reading:
    """What the model says of every candidate in every carrier, (k, n, ...).

    Candidates of one length share a carrier's batch, so nothing is ever padded.
    """
    by_length = defaultdict(list)
    for index, candidate in enumerate(candidates):
        by_length[len(candidate)].append(index)
    blocks = []
    for indices in by_length.values():
        alike = [candidates[i] for i in indices]
        rows = [_in_one_carrier(model, alike, carrier) for carrier in carriers]
        blocks.append(Reading.joined(rows, lambda tensors: torch.stack(tensors, dim=1)))
    order = torch.tensor([i for indices in by_length.values() for i in indices]).argsort()
    return Reading.joined(blocks, lambda tensors: torch.cat(tensors)[order])


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
    hosts = [*carriers] * len(inserted)
    rows = [insert(c, one) for c, one in zip(hosts, chain.from_iterable(inserted), strict=True)]
    ids, mask = model.batch([model.wrap(row) for row in rows])
    embeddings = model.embed(ids).requires_grad_()
    outputs = model.forward_embeddings(embeddings, ids, mask)
    flat = _reading(model, outputs, [carrier.hidden for carrier in hosts])
    reading = Reading.joined([flat], lambda tensors: _shaped(tensors[0], shape))
    (gradient,) = torch.autograd.grad(value(reading), embeddings)
    starts = torch.tensor([len(model.prefix_ids) + carrier.position for carrier in hosts])
    places = starts.unsqueeze(1) + torch.arange(len(inserted[0][0]))
    return _shaped(gradient[torch.arange(len(rows)).unsqueeze(1), places], shape).sum(1)


def _shaped(rows: Tensor, shape: tuple[int, int]) -> Tensor:
    """Rows of k candidates in n carriers, (k n, ...) -> (k, n, ...)."""
    return rows.reshape(*shape, *rows.shape[1:])


def _in_one_carrier(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carrier: Carrier
) -> Reading:
    """Candidates of one length, (b, ...)."""
    rows = [model.wrap(insert(carrier, candidate)) for candidate in candidates]
    outputs = model.forward(torch.tensor(rows, device=model.device))
    return _reading(model, outputs, [carrier.hidden] * len(rows))


def _reading(model: LoadedModel, outputs: Outputs, hidden: Sequence[int | None]) -> Reading:
    """What the model said of one batch, in full precision and off the device, (b, ...).

    ``hidden`` are the words behind the mask tokens.
    """
    features = {where: feature.float().cpu() for where, feature in outputs.features.items()}
    return Reading(features, label_scores(outputs), _recall(model, outputs, hidden))


def label_scores(outputs: Outputs) -> Tensor | None:
    """Logits (b, labels) where there are labels to choose from; a single score is none."""
    if outputs.logits is None or outputs.logits.shape[-1] < 2:  # noqa: PLR2004 - a choice
        return None
    return outputs.logits.float().cpu()


def _recall(model: LoadedModel, outputs: Outputs, hidden: Sequence[int | None]) -> Tensor | None:
    """Probability of the word that each row's mask token hides, (b)."""
    words = [word for word in hidden if word is not None]
    if not words or "masked-lm" not in model.heads:
        return None
    scores = model.masked_lm_logits(outputs.features[Location.MASK].unsqueeze(1)).squeeze(1)
    columns = torch.tensor(words, device=scores.device).unsqueeze(1)
    return scores.float().softmax(dim=-1).gather(1, columns).squeeze(1).cpu()
