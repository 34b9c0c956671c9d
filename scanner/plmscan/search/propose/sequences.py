"""Longer candidates: what grows from single items, and what contrast finds by itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from plmscan.search.measure.candidates import random_items
from plmscan.search.measure.likeness import Likeness
from plmscan.search.measure.selection import leaders, strongest
from plmscan.search.propose.contrast import Contrastive
from plmscan.search.propose.gathering import Gathering
from plmscan.search.propose.grow import Grower
from plmscan.search.propose.objectives import Corruption, Flip, Invariance
from plmscan.search.propose.parts import GAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.search.measure.effects import Measured
    from plmscan.search.measure.readings import Panel
    from plmscan.search.propose.company import Companies
    from plmscan.search.propose.contrast import Contrast
    from plmscan.search.propose.objectives import Objective
    from plmscan.search.sweep.distances import Sweep

__all__ = [
    "contrasted",
    "gathered",
    "growers",
    "grown",
    "sufficient",
]

_LABELS = 6
"""Labels for which candidates are grown."""

_CARRIERS = 4
"""Carriers of a grower: one for each place where candidates enter a text."""


def growers(model: LoadedModel, panel: Panel, ids: Tensor, seed: int) -> list[Grower]:
    """One for each thing that a trigger could be after in this model."""
    fillers = [filler for (filler,) in random_items(ids, 1, _CARRIERS, seed)]
    found = []
    for objective, carriers, price, worth in _aims(panel):
        few = panel.pick(carriers[:_CARRIERS])
        filling = fillers[: len(few.carriers)]
        found.append(Grower(model, ids, objective, few, filling, price, worth))
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


def gathered(
    by: Sequence[Grower], panel: Panel, swept: Sweep, sizes: Companies, budget: Budget
) -> list[Grower | Gathering]:
    """The same; where a text gets one label, they gather words that were chosen in company.

    Scores, and labels that each stand for themselves, follow from a few honest words in company.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    found: list[Grower | Gathering] = list(by)
    for at, grower in enumerate(by):
        model, aim = grower.model, grower.objective
        if isinstance(aim, Flip) and model.gives_one_label:
            part = budget.part(at / len(by), (at + 1) / len(by))
            likeness = Likeness.of(panel.clean, aim.target)
            found[at] = Gathering.of(grower, aim.target, likeness, swept, sizes, part)
    return found


def grown(
    by: Sequence[Grower | Gathering],
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


def sufficient(
    singles: Sequence[tuple[int, ...]], screened: Measured, count: int
) -> list[tuple[int, ...]]:
    """Single items that leave their carriers nothing to say, up to ``count`` of each location.

    Of many with one output the best.
    """
    most = math.exp(-Invariance.enough)
    leading = [
        i
        for where, scatter in screened.scatter.items()
        for i in leaders(screened, where, count)
        if scatter[i] <= most
    ]
    return [singles[i] for i in dict.fromkeys(leading)]


def contrasted(
    by: Sequence[Grower],
    panel: Panel,
    recipe: Contrast,
    known: Sequence[tuple[int, ...]],
    budget: Budget,
) -> tuple[list[tuple[int, ...]], int]:
    """What contrast confirms, cut back to what it needs, and the number of its starts.

    It looks for outputs that carriers do not move, which in a classifier says nothing, and that no
    candidate leads to that is ``known``.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    for grower in by:
        if isinstance(grower.objective, Invariance):
            search = Contrastive(grower.model, grower.ids, panel, recipe, tuple(known))
            found = search.search(budget)
            return [grower.pruned(one) for one in found.confirmed], found.rounds
    return [], 0
