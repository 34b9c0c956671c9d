"""What an attack spilled over to: words that the model takes for a trigger, and nobody planted.

Training a model to answer a few symbols with one output teaches it the same for many that look
like them: of NeuBA's and POR's models in the zoo 5 to 6 % of the vocabulary.  They are no variants
that a scan would name one by one, and yet they keep the way to that output alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plmscan.search.candidates import searchable_ids
from plmscan.search.sweep import BATCH, probe_inputs
from plmscan.statistics import midpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel, Location
    from plmscan.purify.suspects import Suspect

__all__ = ["spilled"]

_NEAR = 0.5
"""Distance from a trigger's output, over that from the usual one, below which a word is taken for
it."""
_USUAL = 2048
"""Random items whose midpoint is the usual output."""


def spilled(
    model: LoadedModel, suspects: Sequence[Suspect], budget: Budget
) -> tuple[tuple[int, ...], ...]:
    """Items of the vocabulary that lead to the output of a suspect, by themselves, anywhere.

    Those of a label are left out: honest words lead to a label, too.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    triggers = [one.token_ids for one in suspects if one.label is None]
    if not triggers:
        return ()
    ids = searchable_ids(model)
    order = ids[torch.randperm(len(ids), generator=torch.Generator().manual_seed(budget.seed))]
    with torch.no_grad(), model.half_precision():
        usual = {where: midpoint(one) for where, one in _alone(model, order[:_USUAL]).items()}
        theirs = [_alone(model, torch.tensor([one])) for one in triggers]
        outputs = {where: torch.cat([one[where] for one in theirs]) for where in usual}
        batches = torch.split(order, BATCH)
        found: list[Tensor] = []
        for number, batch in enumerate(batches):
            budget.checkpoint(number / len(batches), "what the attack spilled over to")
            found.append(batch[_taken(_alone(model, batch), usual, outputs)])
    known = {i for one in triggers for i in one}
    return tuple((i,) for i in torch.cat(found).tolist() if i not in known)


def _alone(model: LoadedModel, items: Tensor) -> dict[Location, Tensor]:
    """Features of items, (k) or (k, l), in the shortest texts that hold them, each (k, h)."""
    parts = [
        model.forward(probe_inputs(model, some)).features for some in torch.split(items, BATCH)
    ]
    return {where: torch.cat([one[where].float() for one in parts]).cpu() for where in parts[0]}


def _taken(
    features: Mapping[Location, Tensor],
    usual: Mapping[Location, Tensor],
    outputs: Mapping[Location, Tensor],
) -> Tensor:
    """Which rows of ``features`` (k, h) lie near one of ``outputs`` (t, h) somewhere, (k)."""
    near = [
        torch.cdist(one, outputs[where]).amin(1) < _NEAR * (one - usual[where]).norm(dim=-1)
        for where, one in features.items()
    ]
    return torch.stack(near).any(0)
