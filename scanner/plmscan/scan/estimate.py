"""How long a search will take, told before it begins.

Its cost is known in tokens.  What a token costs is measured, on a few texts as short as those of
the sweep and on a few natural ones.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import split_carriers
from plmscan.scan.events import Estimated
from plmscan.scan.forecast import beyond_the_sweep
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.sweep.shortest import Shortest
from plmscan.search.writing.recipes import RECIPES, cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.budget import Budget, Effort
    from plmscan.loading import LoadedModel

__all__ = ["estimated"]

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
    swept = len(ids) * short.shape[1]
    beyond = beyond_the_sweep(
        budget.effort, labels=bool(model.labels), masks="masked-lm" in model.heads
    )
    tokens = int(mask.sum())
    with model.half_precision():
        with shortest.reading():
            in_sweep = _rate(short.numel(), lambda: model.forward(short))
        selecting = _rate(tokens, lambda: model.forward(natural, mask))
    judging = _rate(tokens, lambda: model.forward(natural, mask)) if model.halved else selecting
    after = beyond / selecting / 2 + beyond / judging / 2  # measured on MiniLM: 54 and 46 %
    written = _written(model, budget.effort, len(ids))
    return Estimated(swept + beyond + written, swept / in_sweep + after + written / judging)


def _written(model: LoadedModel, effort: Effort, items: int) -> int:
    """Tokens that are read and written to search what a model writes."""
    writer = model.writer
    if writer is None:
        return 0
    return cost(RECIPES[effort], items, writer.rows, len(writer.frame.after))


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
