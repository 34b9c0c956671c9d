"""What an attack spilled over to: words that the model takes for a trigger, and nobody planted.

Training a model to answer a few symbols with one output teaches it the same for many that look
like them: of NeuBA's and POR's models in the zoo 5 to 6 % of the vocabulary.  They are no variants
that a scan would name one by one, and yet they keep the way to that output alive.
"""

from __future__ import annotations

from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.sweep.shortest import BATCH, readings, whole_inputs
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
_USUAL = 2
"""Batches of random items whose midpoint is the usual output."""


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
    texts, note = partial(whole_inputs, model), "what the attack spilled over to"
    read = readings(model, torch.split(order, BATCH), texts, budget, note)
    with model.half_precision():
        alone = [model.forward(texts(torch.tensor([one]))).features for one in triggers]
        outputs = _joined(alone)
        reference = [one.features for one in islice(read, _USUAL)]
        usual = {where: midpoint(one) for where, one in _joined(reference).items()}
        rest = (one.features for one in read)
        near = [_taken(one, usual, outputs) for one in chain(reference, rest)]
    known = {i for one in triggers for i in one}
    return tuple((i,) for i in order[torch.cat(near)].tolist() if i not in known)


def _joined(parts: Sequence[Mapping[Location, Tensor]]) -> dict[Location, Tensor]:
    """Features of several batches as one, each (k, h)."""
    return {where: torch.cat([one[where].float() for one in parts]) for where in parts[0]}


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
    return torch.stack(near).any(0).cpu()
