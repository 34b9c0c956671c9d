"""Longer candidates: what grows from single items, and what contrast finds by itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from plmscan.search.contrastive import Contrastive
from plmscan.search.finalists import leaders, strongest
from plmscan.search.grow import Grower, random_items
from plmscan.search.judge import Finals
from plmscan.search.objective import Corruption, Flip, Invariance
from plmscan.search.variants import same_output
from plmscan.search.verify import measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.contrastive import Contrast
    from plmscan.search.objective import Objective
    from plmscan.search.panel import Panel
    from plmscan.search.verify import Measured

__all__ = [
    "GAIN",
    "beats_its_parts",
    "confirmed",
    "contrasted",
    "growers",
    "grown",
    "promising",
]

GAIN = 4.0
"""A longer candidate replaces its parts only if its scatter is that many times lower than theirs
and that of any single item with the same output: two triggers side by side, or a trigger and a
passer-by, are no new trigger.  Measured on implants: 8 to 60 for the words of a phrase, below 2 for
pairs of planted triggers."""

_MORE = 0.25
"""The same for labels and for recall: its strength or its corruption exceeds that of its parts by
so much."""

_LABELS = 6
"""Labels for which candidates are grown."""

_DECIDING = 4
"""Carriers on which a forward pass decides: one for each place where candidates enter a text."""

_GUIDING = 8
"""Carriers over which a gradient is summed."""


def growers(model: LoadedModel, panel: Panel, ids: Tensor, seed: int) -> list[Grower]:
    """One for each thing that a trigger could be after in this model."""
    fillers = [filler for (filler,) in random_items(ids, 1, _GUIDING, seed)]
    found = []
    for objective, carriers, price, worth in _aims(panel):
        guide = panel.pick(carriers[:_GUIDING])
        deciding = guide.pick(range(min(_DECIDING, len(guide.carriers))))
        few = fillers[: len(guide.carriers)]
        found.append(Grower(model, ids, objective, deciding, guide, few, price, worth))
    return found


def _aims(panel: Panel) -> Iterator[tuple[Objective, list[int], float, float]]:
    """Objectives, the carriers that can show each, what a token has to gain, and to be worth.

    In a classifier every strong word drags the features along, so labels are the only aim.
    """
    everywhere = list(range(len(panel.carriers)))
    labels = panel.flippable()[:_LABELS]
    yield from ((Flip(label), panel.against(label), 0.1, 0.1) for label in labels)
    if not labels:
        yield Invariance(), everywhere, math.log(2), math.log(GAIN)
    if panel.clean.recall is not None:
        yield Corruption(), everywhere, 0.1, 0.1


def grown(
    by: Sequence[Grower],
    singles: Sequence[tuple[int, ...]],
    screened: Measured,
    seeds: int,
    budget: Budget,
) -> list[tuple[int, ...]]:
    """What each grower makes of its best single items, each once.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    found: list[tuple[int, ...]] = []
    for done, grower in enumerate(by):
        part = budget.part(done / len(by), (done + 1) / len(by))
        chosen = _seeds(grower.objective, screened, seeds)
        found += grower.grow([singles[i] for i in chosen], part)
    return list(dict.fromkeys(found))


def _seeds(objective: Objective, screened: Measured, count: int) -> list[int]:
    """Indices of the single items from which candidates for one objective grow."""
    match objective:
        case Flip(target):
            return strongest(screened, count)[target]
        case Corruption():
            lost = screened.best_scatter() if screened.corruption is None else -screened.corruption
            return lost.argsort(stable=True)[:count].tolist()
        case _:
            share = max(1, 2 * count // len(screened.scatter))
            best = [i for where in screened.scatter for i in leaders(screened, where, share)]
            # The words of one phrase lead to one output, of which only the best is a leader.
            rankings = (*screened.scatter.values(), *(-d for d in screened.displacement.values()))
            best += [i for r in rankings for i in r.argsort(stable=True)[:share].tolist()]
            return list(dict.fromkeys(best))


def contrasted(
    by: Sequence[Grower], panel: Panel, recipe: Contrast, budget: Budget
) -> tuple[list[tuple[int, ...]], int]:
    """What contrast confirms, cut back to what it needs, and the number of its starts.

    It looks for outputs that carriers do not move, which in a classifier says nothing.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    for grower in by:
        if isinstance(grower.objective, Invariance):
            found = Contrastive(grower.model, grower.ids, panel, recipe).search(budget)
            return [grower.pruned(one) for one in found.confirmed], found.rounds
    return [], 0


def confirmed(
    model: LoadedModel,
    singles: Sequence[tuple[int, ...]],
    longer: Sequence[tuple[int, ...]],
    panel: Panel,
    budget: Budget,
) -> Finals:
    """Single items, and the longer candidates that beat them on the verification panel as well.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    both = _with_parts(singles, longer)
    found = measure(model, both, panel, budget, "verification")
    kept = [i for i, one in enumerate(both) if len(one) == 1 or beats_its_parts(i, both, found)]
    return Finals([both[i] for i in kept], found.pick(torch.tensor(kept)))


def promising(
    model: LoadedModel, longer: Sequence[tuple[int, ...]], panel: Panel, budget: Budget
) -> list[tuple[int, ...]]:
    """Of many longer candidates those that beat their parts, before they are confirmed elsewhere.

    The same tokens in several orders are one candidate, in the order that leaves a text the least.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    both = _with_parts((), longer)
    if not both:
        return []
    found = measure(model, both, panel, budget, "pairs of words")
    least = found.best_scatter().argsort(stable=True).tolist()
    better = [both[i] for i in least if len(both[i]) > 1 and beats_its_parts(i, both, found)]
    return list({tuple(sorted(one)): one for one in reversed(better)}.values())


def _with_parts(
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
