"""Parts: whether a longer candidate is more of a trigger than the tokens that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.effects import measure, same_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.measure.effects import Measured
    from plmscan.search.measure.readings import Panel

__all__ = ["GAIN", "beats_its_parts", "promising", "with_parts"]

GAIN = 4.0
"""A longer candidate replaces its parts only if its scatter is that many times lower than theirs
and that of any single item with the same output: two triggers side by side, or a trigger and a
passer-by, are no new trigger.  Measured on implants: 8 to 60 for the words of a phrase, below 2 for
pairs of planted triggers."""

_MORE = 0.25
"""The same for labels and for recall: its strength or its corruption exceeds that of its parts by
so much."""


def promising(
    model: LoadedModel, longer: Sequence[tuple[int, ...]], panel: Panel, budget: Budget
) -> list[tuple[int, ...]]:
    """Of many longer candidates those that beat their parts, before they are confirmed elsewhere.

    The same tokens in several orders are one candidate, in the order that leaves a text the least.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    both = with_parts((), longer)
    if not both:
        return []
    found = measure(model, both, panel, budget, "pairs of words")
    least = found.best_scatter().argsort(stable=True).tolist()
    better = [both[i] for i in least if len(both[i]) > 1 and beats_its_parts(i, both, found)]
    return list({tuple(sorted(one)): one for one in reversed(better)}.values())


def with_parts(
    singles: Sequence[tuple[int, ...]], longer: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Single items, the parts of the longer candidates, and these, each once."""
    return list(dict.fromkeys([*singles, *((i,) for one in longer for i in one), *longer]))


def beats_its_parts(index: int, ids: Sequence[tuple[int, ...]], found: Measured) -> bool:
    """Whether a longer candidate is more of a trigger than its parts and its rivals.

    By invariance, rivals are single items with the same output; by labels and by recall, its parts
    alone.
    """
    single = torch.tensor([len(one) == 1 for one in ids])
    parts = torch.tensor([len(one) == 1 and one[0] in ids[index] for one in ids])
    where = found.best_location()[index]
    rivals = parts | (single & same_output(found.shift[where], found.shift[where][index]))
    bar = found.scatter[where][rivals].min() / GAIN
    if bool(found.scatter[where][index] <= bar):
        return True
    corruption = None if found.corruption is None else found.corruption.unsqueeze(1)
    effects = [effect for effect in (found.strength, corruption) if effect is not None]
    return any(
        bool((effect[index] >= effect[parts].amax(0).clamp_min(0) + _MORE).any())
        for effect in effects
    )
