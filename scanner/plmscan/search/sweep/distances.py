"""The exhaustive sweep: how far every vocabulary item is from all others.

An item's score is its squared distance from the vocabulary's own midpoint, plain and under the
vocabulary's own covariance (Mahalanobis).  The sweep is deterministic, covers word pieces, symbols
and ``[UNK]``, and passes on the far-out; it judges nothing.  Measured: design, section 5.1.

Where all digits are read, what ends a text is held: the furthest hundredth is read in whole texts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch

from plmscan.loading import Location
from plmscan.loading.precision import in_full
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.sweep.shortest import (
    BATCH,
    CROWD,
    Shortest,
    batch_rows,
    probe_inputs,
    readings,
)
from plmscan.statistics import Whitening, midpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel

__all__ = ["Sweep", "furthest_again", "scored", "survivors", "sweep"]

_AGAIN = 256
"""Items of each ranking that are read again, several times what any effort passes on."""

_SHARE = 100
"""Each so-manieth item of a ranking in texts with held ends is read in whole ones.  Measured: of
the triggers of the small zoo, the one that comes last in its best ranking is at a third of that."""


@dataclass(frozen=True)
class Sweep:
    """Scores of every vocabulary item, ordered as ``ids``."""

    ids: Tensor
    """Swept ids, (v)."""
    plain: Mapping[Location, Tensor]
    """Squared distance from the vocabulary's midpoint, each (v)."""
    whitened: Mapping[Location, Tensor]
    """Squared Mahalanobis distance under the vocabulary's covariance, each (v)."""
    saturation: Tensor | None
    """Share of pooler entries beyond 0.99 in size, (v); None where no pooler is scanned."""
    leads: Tensor | None
    """Lead of each label for each item alone, (v, labels); None without a classifier."""
    whole: bool = True
    """Whether the texts were read to their ends."""

    def rankings(self) -> tuple[Tensor, ...]:
        """Every score by which an item can be far out, each (v)."""
        return (*self.plain.values(), *self.whitened.values())

    def rank(self) -> Tensor:
        """Best place of each item over all rankings, from 1, (v)."""
        places = [r.argsort(descending=True, stable=True).argsort() for r in self.rankings()]
        return torch.stack(places).min(0).values + 1


def sweep(model: LoadedModel, reference_items: int, budget: Budget) -> Sweep:
    """Score the whole vocabulary in one pass.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    ids = searchable_ids(model)
    shortest = Shortest.of(model, len(ids))
    with shortest.reading():
        found = scored(model, ids, shortest.texts, reference_items, budget, "vocabulary sweep")
    return replace(found, whole=shortest.held is None)


def furthest_again(model: LoadedModel, found: Sweep, count: int, budget: Budget) -> Sweep:
    """The items of ``found`` that can be among the ``count`` furthest, scored in whole texts.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    if found.whole:
        return found
    listed = survivors(found, max(4 * count, len(found.ids) // _SHARE))
    others = found.ids[~torch.isin(found.ids, listed)]
    generator = torch.Generator().manual_seed(budget.seed)
    crowd = others[torch.randperm(len(others), generator=generator)[: CROWD * model.hidden_size]]
    texts = partial(probe_inputs, model)
    batches = [*torch.split(crowd, BATCH), *torch.split(listed, BATCH)]
    read = readings(model, batches, texts, budget, "the furthest again")
    score = _Scorer.fit([next(read).features for _ in torch.split(crowd, BATCH)])
    scores = torch.cat([score(one.features) for one in read], dim=1)
    return Sweep(listed, *score.split(scores), leads=None)


def scored(
    model: LoadedModel,
    ids: Tensor,
    texts: Callable[[Tensor], Tensor],
    reference_items: int,
    budget: Budget,
    note: str,
) -> Sweep:
    """Score every item of ``ids`` (v) in the text that ``texts`` makes of it: (b) -> (b, n).

    Memory stays bounded: features of ``reference_items`` random items fix the midpoint and the
    covariance, all others are scored as they stream by and then forgotten.  Half the digits are
    for the crowd: what fixes the scale has all of them, and so have the scores of the furthest.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    shuffled = torch.randperm(len(ids), generator=torch.Generator().manual_seed(budget.seed))
    batches = torch.split(shuffled, batch_rows(texts(ids[:1]).shape[1]))
    reference_batches = max(1, min(len(batches), reference_items // len(batches[0])))
    read = readings(model, [ids[batch] for batch in batches], texts, budget, note)
    reference = [next(read) for _ in range(reference_batches)]
    score = _Scorer.fit([reading.features for reading in reference])
    with model.half_precision():
        rows = [(score(one.features), one.leads) for one in chain(reference, read)]
    back = shuffled.argsort()
    scores = torch.cat([row for row, _ in rows], dim=1)[:, back]
    if model.halved:
        _score_again(model, ids, texts, score, scores)
    plain, whitened, saturation = score.split(scores)
    leads = [row for _, row in rows if row is not None]
    return Sweep(ids, plain, whitened, saturation, torch.cat(leads)[back] if leads else None)


def _score_again(
    model: LoadedModel,
    ids: Tensor,
    texts: Callable[[Tensor], Tensor],
    score: _Scorer,
    scores: Tensor,
) -> None:
    """Give the furthest of every ranking in ``scores`` (rankings + 1, v) all digits, in place.

    Who is passed on is then the same wherever the sweep ran.
    """
    listed = torch.unique(scores.topk(min(_AGAIN, len(ids)), dim=1).indices)
    for part in torch.split(listed, batch_rows(texts(ids[:1]).shape[1])):
        features = model.forward(texts(ids[part])).features
        scores[:, part] = score({where: f.float() for where, f in features.items()})


def survivors(found: Sweep, count: int) -> Tensor:
    """Ids of the ``count`` most distant items of every ranking, each once, ascending."""
    count = min(count, len(found.ids))
    far_out = torch.cat([ranking.topk(count).indices for ranking in found.rankings()])
    return found.ids[torch.unique(far_out)]


def _saturated(pooled: Tensor) -> Tensor:
    """Share of the entries on tanh's plateau: (b, h) -> (b)."""
    return (pooled.abs() > 0.99).float().mean(1)  # noqa: PLR2004


@dataclass(frozen=True)
class _Scorer:
    """Turns features into distances from the vocabulary's own distribution."""

    middles: Mapping[Location, Tensor]
    """Coordinate-wise median of the reference items, each (h)."""
    whitenings: Mapping[Location, Whitening]
    """Mean and covariance of the reference items."""

    @classmethod
    def fit(cls, reference: list[Mapping[Location, Tensor]]) -> _Scorer:
        """Fit to the features of the reference items."""
        joined = {where: torch.cat([f[where] for f in reference]) for where in reference[0]}
        with in_full(next(iter(joined.values())).device):
            return cls(
                {where: midpoint(features) for where, features in joined.items()},
                {where: Whitening.fit(features) for where, features in joined.items()},
            )

    def __call__(self, features: Mapping[Location, Tensor]) -> Tensor:
        """Plain distances, whitened distances, saturation: (2 locations + 1, b)."""
        plain = [(f - self.middles[where]).square().sum(1) for where, f in features.items()]
        with in_full(plain[0].device):
            whitened = [self.whitenings[where].distance(f) for where, f in features.items()]
        pooled = features.get(Location.POOLER, torch.zeros_like(next(iter(features.values()))))
        return torch.stack([*plain, *whitened, _saturated(pooled)]).cpu()

    def split(
        self, scores: Tensor
    ) -> tuple[dict[Location, Tensor], dict[Location, Tensor], Tensor | None]:
        """Name the rows that `__call__` stacked."""
        places = list(self.middles)
        plain = dict(zip(places, scores[: len(places)], strict=True))
        whitened = dict(zip(places, scores[len(places) : -1], strict=True))
        return plain, whitened, scores[-1] if Location.POOLER in plain else None
