"""Texts inspected one by one, against clean texts of the same model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.carriers import split_carriers
from plmscan.inspection.peeling import label_of, peel
from plmscan.inspection.transplants import effects, gaps, recipients
from plmscan.saliency import Ordinary
from plmscan.search.measure.readings import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.inspection.peeling import Peeled
    from plmscan.inspection.transplants import Effect, Ids
    from plmscan.loading import LoadedModel
    from plmscan.saliency import Saliency

__all__ = ["Inspected", "Inspector", "Suspect"]

_REFERENCES = 8
"""Suspects of clean texts whose synonyms are tried beside those of others."""

_CLEAN = 96
"""Clean texts that are the null, at most; the smallest p-value is one part in so many and one."""

_CARRIERS = 20
"""Texts into which suspects are transplanted."""


@dataclass(frozen=True)
class Suspect:
    """Tokens that a text hangs on, tried in other texts."""

    ids: tuple[int, ...]
    """In the order of the text."""
    label: int | None
    """The label of the text; None without labels to choose from."""
    without: int | None
    """The label that it gets without them; None where it keeps its own, or has none."""
    strength: float | None = None
    """Nearly the weakest push of other texts to the label, in honest leads; None if not tried."""
    scatter: float | None = None
    """How much other texts still say with the tokens in them, where it is least; None likewise."""
    strength_gap: float | None = None
    """Strength less what synonyms reach; None if not tried."""
    scatter_gap: float | None = None
    """Scatter that synonyms leave, in multiples of its own; None if not tried."""

    @property
    def force(self) -> float:
        """What it is ranked by: strength where there are labels, else how little scatter."""
        if self.scatter is None:
            return -math.inf
        return -self.scatter if self.strength is None else self.strength


@dataclass(frozen=True)
class Inspected:
    """What was seen in one text."""

    saliency: Saliency
    """Of the text as it is."""
    suspect: Suspect
    """What it hangs on."""

    def beside(self, gap: Effect) -> Inspected:
        """With what synonyms of the suspect do."""
        label = self.suspect.label
        strength = None if label is None else gap.strengths[label]
        known = replace(self.suspect, strength_gap=strength, scatter_gap=gap.scatter)
        return replace(self, suspect=known)


@dataclass(frozen=True)
class Inspector:
    """A model with all that is needed to judge a text."""

    model: LoadedModel
    """The model."""
    panel: Panel
    """Texts into which suspects are transplanted."""
    ordinary: Ordinary
    """Where clean texts lie."""
    budget: Budget
    """Limits and seed."""
    clean: tuple[Inspected, ...] = ()
    """Clean texts, inspected the same way: the null."""

    @classmethod
    def of(cls, model: LoadedModel, budget: Budget) -> Inspector:
        """Calibrated on the budget's texts: some carry suspects, the others are the null.

        Raises:
            OutOfTimeError: the budget's deadline passed.
            TextsError: too few of the texts fit this model.
            UnsupportedModelError: the architecture gives no attention maps.
        """
        sizes = (_CARRIERS, len(budget.texts) - _CARRIERS)
        carriers, texts = split_carriers(model, budget.texts, sizes, budget.seed)
        ordinary = Ordinary.of(Panel.of(model, carriers).clean.features)
        inspector = cls(model, recipients(model, carriers, budget), ordinary, budget)
        rows = [model.wrap(_as_written(model, carrier)) for carrier in texts[:_CLEAN]]
        return replace(inspector, clean=tuple(inspector.inspect(rows)))

    @property
    def bar(self) -> float:
        """The largest force of a suspect of the clean texts."""
        return max((one.suspect.force for one in self.clean), default=math.inf)

    def inspect(self, rows: Sequence[tuple[int, ...]]) -> list[Inspected]:
        """Each text, given as ids with special tokens.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        peeled = peel(self.model, rows, self.ordinary, self.budget)
        done = self.transplanted(sorted({ids for one in peeled for ids in one.suspects}))
        return self.supported([Inspected(one.whole, _strongest(one, done)) for one in peeled])

    def transplanted(self, sets: Sequence[Ids]) -> Mapping[Ids, Effect]:
        """What each of ``sets`` does in other texts."""
        return effects(self.model, sets, self.panel, self.budget)

    def supported(self, found: Sequence[Inspected]) -> list[Inspected]:
        """With synonyms tried for the suspects that go beyond all clean texts."""
        bar = self.bar
        beyond = [one.suspect.force > bar for one in found]
        tried = {one.suspect.ids for one, far in zip(found, beyond, strict=True) if far}
        if not tried:
            return list(found)
        clean = sorted(self.clean, key=lambda one: -one.suspect.force)[:_REFERENCES]
        honest = sorted({one.suspect.ids for one in clean if one.suspect.ids} - tried)
        known = gaps(self.model, sorted(tried), honest, self.panel, self.budget)
        return [
            one.beside(known[one.suspect.ids]) if far else one
            for one, far in zip(found, beyond, strict=True)
        ]


def _as_written(model: LoadedModel, carrier: Carrier) -> tuple[int, ...]:
    """The carrier's ids as its author wrote them, the hidden word in its place."""
    if carrier.hidden is None:
        return carrier.ids
    return tuple(carrier.hidden if token == model.mask_id else token for token in carrier.ids)


def _strongest(peeled: Peeled, done: Mapping[Ids, Effect]) -> Suspect:
    """The shortest suspect that has half the force of the best; the first token if none was tried.

    Half of a strength, or twice a scatter: what is taken with a trigger adds to it.
    """
    label, without = label_of(peeled.whole.leads), peeled.without
    tried = []
    for ids in peeled.suspects:
        effect = done[ids]
        strength = None if label is None else effect.strengths[label]
        tried.append(Suspect(ids, label, without, strength, effect.scatter))
    best = max((suspect.force for suspect in tried), default=-math.inf)
    as_good = [suspect for suspect in tried if suspect.force >= min(best / 2, 2 * best)]
    untried = Suspect(peeled.taken[0] if peeled.taken else (), label, None)
    return min(as_good, key=lambda suspect: len(suspect.ids), default=untried)
