"""How long a search will take, told before it begins.

Its cost is known in tokens.  What a token costs is measured, on a few texts as short as those of
the sweep and on a few natural ones.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from plmscan.budget import Effort
from plmscan.carriers import split_carriers
from plmscan.scan.events import Estimated
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.sweep.shortest import Shortest
from plmscan.search.writing.hunt import RECIPES, cost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel

__all__ = ["estimated"]

_BEYOND: Mapping[Effort, int] = {
    Effort.QUICK: 65_000,
    Effort.STANDARD: 75_000,
    Effort.DEEP: 3_000_000,
}
"""Tokens that all probes read beyond the sweep, for an encoder without a head that no rule names
anything in: measured on MiniLM, but for deep, which is a guess by the sizes of its recipe."""
_FOR_LABELS = 2.5
"""How much more that is for a classifier, which is searched label by label."""
_FOR_MASKS = 2.2
"""How much more for a masked language model, which is searched for lost recall, too."""
_SHORT = 128
"""Shortest texts that are timed."""
_NATURAL = 16
"""Natural texts that are timed."""
_LEAST = 0.05
"""Seconds that a measurement takes at least."""


def estimated(model: LoadedModel, budget: Budget) -> Estimated:
    """The cost of all probes at the effort of ``budget``; takes a moment itself.

    Raises:
        TextsError: too few carrier texts fit this model.
    """
    ids = searchable_ids(model)
    shortest = Shortest.of(model, len(ids))
    short = shortest.texts(ids[: min(_SHORT, len(ids))])
    (carriers,) = split_carriers(model, budget.texts, (_NATURAL,), budget.seed)
    natural, mask = model.batch([model.wrap(carrier.ids) for carrier in carriers])
    swept, beyond = len(ids) * short.shape[1], _beyond(model, budget.effort)
    tokens = int(mask.sum())
    with model.half_precision():
        with shortest.reading():
            in_sweep = _rate(short.numel(), lambda: model.forward(short))
        selecting = _rate(tokens, lambda: model.forward(natural, mask))
    judging = _rate(tokens, lambda: model.forward(natural, mask)) if model.halved else selecting
    after = beyond / selecting / 2 + beyond / judging / 2  # measured on MiniLM: 54 and 46 %
    written = _written(model, budget.effort, len(ids))
    return Estimated(swept + beyond + written, swept / in_sweep + after + written / judging)


def _beyond(model: LoadedModel, effort: Effort) -> int:
    """Tokens beyond the sweep."""
    factor = _FOR_LABELS if model.labels else 1.0
    return int(_BEYOND[effort] * factor * (_FOR_MASKS if "masked-lm" in model.heads else 1.0))


def _written(model: LoadedModel, effort: Effort, items: int) -> int:
    """Tokens that are read and written to search what a model writes."""
    return 0 if model.writer is None else cost(model.writer, items, RECIPES[effort])


def _rate(tokens: int, forward: Callable[[], object]) -> float:
    """Tokens a second, after one pass that warms up."""
    forward()
    passes, began = 0, time.perf_counter()
    while time.perf_counter() - began < _LEAST:
        forward()
        passes += 1
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return tokens * passes / (time.perf_counter() - began)
