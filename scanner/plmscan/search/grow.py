"""Growing: far-out items are joined to pairs, since a phrase shows in the sweep as its words."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import torch

from plmscan.search.variants import same_output
from plmscan.search.verify import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.search.verify import Measured

__all__ = ["GAIN", "grow_pairs", "improving", "random_items"]

GAIN = 4.0
"""A pair replaces its words only if its scatter is that many times lower than any single item's
with the same output: two triggers side by side, or a trigger and a passer-by, are no new trigger.
Measured on implants: 8 to 60 for the words of a phrase, below 2 for pairs of planted triggers."""


def grow_pairs(
    model: LoadedModel,
    singles: Sequence[tuple[int, ...]],
    measured: Measured,
    carriers: Sequence[Carrier],
    seeds: int,
    budget: Budget,
) -> list[tuple[int, ...]]:
    """Ordered pairs of the first ``seeds`` singles that beat every single, the best first.

    ``measured`` holds the singles on the same carriers.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    pairs = [first + second for first, second in permutations(singles[:seeds], 2)]
    if not pairs:
        return []
    found = measure(model, pairs, carriers, budget, "growing pairs")
    better = improving(pairs, found, singles, measured).nonzero().flatten()
    best_first = better[found.best_scatter()[better].argsort(stable=True)]
    return [pairs[i] for i in best_first.tolist()]


def improving(
    pairs: Sequence[tuple[int, ...]],
    found: Measured,
    singles: Sequence[tuple[int, ...]],
    measured: Measured,
) -> Tensor:
    """Which pairs are `GAIN` times as invariant as their parts and their rivals, bool (p).

    Rivals are single items with the same output; both tables come from the same carriers.
    """
    rows = []
    for index, where in enumerate(found.best_location()):
        parts = torch.tensor([set(single) <= set(pairs[index]) for single in singles])
        rivals = parts | same_output(measured.shift[where], found.shift[where][index])
        bar = measured.scatter[where].masked_fill(~rivals, torch.inf).min() / GAIN
        rows.append(found.scatter[where][index] <= bar)
    return torch.stack(rows)


def random_items(ids: Tensor, pieces: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """``count`` random sequences of ``pieces`` vocabulary items: the null of candidates so long."""
    generator = torch.Generator().manual_seed(seed + pieces)
    drawn = ids[torch.randint(len(ids), (count, pieces), generator=generator)]
    return [tuple(row) for row in drawn.tolist()]
