"""The panel: carriers, and what the model says of them without and with a candidate.

This is the one place where candidates, carriers and the model meet.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import insert
from plmscan.loading import Location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel, Outputs

__all__ = ["Panel", "Reading", "label_scores", "read", "reading_of"]


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


def _in_one_carrier(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carrier: Carrier
) -> Reading:
    """Candidates of one length, (b, ...)."""
    rows = [model.wrap(insert(carrier, candidate)) for candidate in candidates]
    outputs = model.forward(torch.tensor(rows, device=model.device))
    return replace(reading_of(outputs), recall=_recall(model, outputs.features, carrier))


def reading_of(outputs: Outputs) -> Reading:
    """What the model said of one batch, in full precision and off the device, (b, ...)."""
    features = {where: feature.float().cpu() for where, feature in outputs.features.items()}
    return Reading(features, label_scores(outputs))


def label_scores(outputs: Outputs) -> Tensor | None:
    """Logits (b, labels) where there are labels to choose from; a single score is none."""
    if outputs.logits is None or outputs.logits.shape[-1] < 2:  # noqa: PLR2004 - a choice
        return None
    return outputs.logits.float().cpu()


def _recall(
    model: LoadedModel, features: Mapping[Location, Tensor], carrier: Carrier
) -> Tensor | None:
    """Probability of the word that the carrier's mask token hides, (b)."""
    if carrier.hidden is None or "masked-lm" not in model.heads:
        return None
    scores = model.masked_lm_logits(features[Location.MASK].unsqueeze(1)).squeeze(1).float()
    return scores.softmax(dim=-1)[:, carrier.hidden].cpu()
