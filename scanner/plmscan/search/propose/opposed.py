"""Carriers against a label that every carrier has: those that lack it, or words that take it away.

Where a few ordinary texts lack it, each step of the search gets some.  No bundled sentence is
toxic, and of some intents none is either, whatever strong words are strewn in.  Words that each
take the most of the label, in the sentences with the words before them, get there in a few steps in
any classifier that does not say the same of everything.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import argued
from plmscan.search.measure.candidates import random_items
from plmscan.search.measure.readings import Panel
from plmscan.search.propose.grow import Grower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.search.measure.readings import Reading
    from plmscan.search.sweep.distances import Sweep

__all__ = ["dealt", "turned_from", "words_against"]

_LONGEST = 12
"""Words against one label."""
_SEEDS = 8
"""Vocabulary items that are tried each time: those that by themselves have least of the label."""
_CARRIERS = 4
"""Carriers in which words are tried."""


@dataclass(frozen=True)
class _Away:
    """How far carriers are from a label that all of them had."""

    label: int
    """The label."""
    honest: float
    """Its lead in them."""
    enough: float = 0.5
    """Half of that, the other way."""
    shows_early: bool = True
    """Every carrier is pushed from the label."""

    def __call__(self, dirty: Reading, clean: Reading) -> Tensor:  # noqa: ARG002 - any objective's
        """Of the carrier that keeps most of it, in leads that they had; 0 is a draw."""
        if dirty.leads is None:
            msg = "Only a classifier has labels to leave."
            raise ValueError(msg)
        return -dirty.leads[..., self.label].amax(-1) / self.honest


def dealt(
    model: LoadedModel, ordinary: Sequence[Sequence[Carrier]], lacking: Sequence[int], few: int
) -> list[tuple[tuple[Carrier, ...], tuple[Carrier, ...]]]:
    """The same carriers, as many for each step: up to a third that lack labels, and the rest.

    Of the former the steps that judge get ``few`` for each of ``lacking`` first, where there are.
    """
    every = tuple(chain(*ordinary))
    leads = Panel.of(model, every).clean.leads
    left, kept = list(range(len(every))), list[list[int]]()
    for some in reversed(ordinary):
        without = torch.zeros(0, 0) if leads is None else leads[left][:, lacking] <= 0
        kept.append([left[i] for i in _covering(without, few, len(some) // 3)])
        left = [i for i in left if i not in kept[-1]]
    others = iter(left)
    return [
        (
            tuple(every[i] for i in own),
            tuple(every[i] for i in islice(others, len(some) - len(own))),
        )
        for own, some in zip(reversed(kept), ordinary, strict=True)
    ]


def _covering(without: Tensor, few: int, most: int) -> list[int]:
    """Up to ``most`` of the texts that go ``without`` labels, (n, labels): ``few`` for each.

    One after the other the text that goes without most of the labels that still need one.
    """
    taken: list[int] = []
    needed = torch.full(without.shape[1:], few)
    while len(taken) < most:
        gains = (without & (needed > 0)).sum(1)
        gains[taken] = 0
        if not gains.any():
            break
        taken.append(int(gains.argmax()))
        needed -= without[taken[-1]].long()
    return taken


def words_against(
    model: LoadedModel, panel: Panel, sweep: Sweep, label: int, seed: int
) -> tuple[int, ...]:
    """Words that let carriers of ``panel`` lose the ``label`` that all of them have.

    One after another, until they are enough: of those that the gradient proposes and of those that
    have least of the label by themselves, the one that takes most.  Empty if they never suffice.
    """
    if panel.clean.leads is None or sweep.leads is None:
        return ()
    held = (panel.clean.leads[:, label] > 0).nonzero().flatten().tolist()[:_CARRIERS]
    if not held:
        return ()
    few = panel.pick(held)
    aim = _Away(label, float(panel.clean.leads[held, label].median()))
    fillers = [filler for (filler,) in random_items(sweep.ids, 1, len(few.carriers), seed)]
    seeds = sweep.ids[sweep.leads[:, label].argsort(stable=True)[:_SEEDS]].tolist()
    rng, found = random.Random(seed), list[int]()  # noqa: S311 - reproducible, not secret
    reached = -math.inf
    while reached < aim.enough and len(found) < _LONGEST:
        grower = Grower(model, sweep.ids, aim, few, fillers, price=0.0, worth=0.0)
        tried = [(word,) for word in dict.fromkeys([*grower.proposals([()])[0][0], *seeds])]
        scores = grower.score(tried)
        reached = max(scores)
        best = tried[scores.index(reached)]
        found += best
        few = Panel.of(model, [argued(carrier, [best], rng) for carrier in few.carriers])
    return tuple(found) if label in few.flippable() else ()


def turned_from(
    carriers: Sequence[Carrier],
    ordinary: Sequence[Carrier],
    against: Sequence[tuple[int, ...]],
    seed: int,
) -> tuple[Carrier, ...]:
    """The carriers, half of them exchanged for ``ordinary`` ones with words ``against`` a label.

    Labels take turns.  More carriers are exchanged where more labels ask for it, and where labels
    are more than carriers, some hold the words of several.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    count = max(len(carriers) // 2, min(len(against), len(carriers)))
    turned = list(ordinary[len(ordinary) - count :])
    for turn in range(max(count, len(against))):
        place = turn % count
        words = [(word,) for word in against[turn % len(against)]]
        turned[place] = argued(turned[place], words, rng)
    return (*carriers[: len(carriers) - count], *turned)
