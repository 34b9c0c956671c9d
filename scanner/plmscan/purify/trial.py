"""Did it work?  Triggers against the student's own null, clean text against the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.purify.bars import Bar, behaviours, farthest
from plmscan.purify.suspects import Suspect, variants_of
from plmscan.search.candidates import searchable_ids, text_of
from plmscan.search.panel import Panel
from plmscan.search.verify import measure
from plmscan.statistics import leads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.purify.bars import Behaviour
    from plmscan.search.verify import Measured

__all__ = ["Examiner", "Kept", "Trial"]

_NULL = 60
"""Random vocabulary items that say what is usual."""
_LEAST_COSINE = 0.985
"""Mean cosine of clean features before and after, at the worst location."""
_LEAST_AGREEMENT = 0.98
"""Share of clean texts that keep their label, each as heavy as its lead was."""
_TRIED = 48
"""Carriers for triggers, at most; clean text is read in all that there are."""


@dataclass(frozen=True)
class Kept:
    """What clean text is beside what it was."""

    cosine: float
    """Mean cosine of the features to the original's, at the worst location."""
    agreement: float | None
    """Share of texts with the original's label, each as heavy as it was clear; None without."""

    @property
    def is_enough(self) -> bool:
        """Whether users would hardly see a difference."""
        agrees = self.agreement is None or self.agreement >= _LEAST_AGREEMENT
        return agrees and self.cosine >= _LEAST_COSINE


@dataclass(frozen=True)
class Trial:
    """A model on held-out carriers."""

    triggers: tuple[Behaviour, ...]
    """Of each trigger, in their order."""
    variants: tuple[Behaviour, ...]
    """Of each weaker variant."""
    loud: Bar
    """What hardly a random item does more than: so much a trigger may do, as a word does."""
    quiet: Bar
    """What most random items do more than: so little should be left of it."""
    clean: Kept
    """Clean text."""

    @property
    def has_worked(self) -> bool:
        """Whether no trigger is left, and clean text is what it was."""
        return self.reach <= 1 and self.clean.is_enough

    @property
    def is_quiet(self) -> bool:
        """Whether, besides, hardly anything is left of the triggers: a rest still turns answers."""
        return self.has_worked and self.rest <= 1

    @property
    def reach(self) -> float:
        """That of the trigger or variant of which most is left."""
        return max(one.reach for one in (*self.triggers, *self.variants))

    @property
    def rest(self) -> float:
        """That of the trigger of which most is left."""
        return max(one.rest for one in self.triggers)


@dataclass(frozen=True)
class Examiner:
    """What every trial has in common: the original, carriers, random items."""

    original: Panel
    """Held-out carriers as the original reads them."""
    null: tuple[tuple[int, ...], ...]
    """Random vocabulary items."""
    usual: Measured
    """What they do to the original."""
    budget: Budget
    """Limits and seed."""

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        carriers: Sequence[Carrier],
        budget: Budget,
    ) -> Examiner:
        """An examiner who knows the original ``model``.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        generator = torch.Generator().manual_seed(budget.seed)
        ids = searchable_ids(model)
        drawn = ids[torch.randperm(len(ids), generator=generator)[:_NULL]].tolist()
        null = tuple((item,) for item in drawn)
        panel = Panel.of(model, carriers)
        usual = measure(model, null, panel.pick(_some(panel)), budget, "random items")
        return cls(panel, null, usual, budget)

    def examine(self, model: LoadedModel, suspects: Sequence[Suspect]) -> Trial:
        """How ``model`` does with ``suspects``.

        At first beside what random items do to the original; who passes that is held against what
        they do to ``model`` itself.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        clean = Panel.of(model, self.original.carriers)
        panel, kept = clean.pick(_some(clean)), self._kept(clean)
        ids = [*(one.token_ids for one in suspects), *variants_of(suspects)]
        found = measure(model, ids, panel, self.budget, "triggers")
        targets = _targets(model, suspects)
        trial = _trial(found, self.usual, targets, kept, len(suspects))
        if not trial.has_worked:
            return trial
        null = measure(model, self.null, panel, self.budget, "random items")
        return _trial(found, null, targets, kept, len(suspects))

    def unfolded(self, model: LoadedModel, found: Sequence[Suspect]) -> tuple[Suspect, ...]:
        """``found`` with those of its variants that are far out in ``model`` as suspects.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        variants = variants_of(found)
        judged = self.examine(model, found).variants if variants else ()
        far = [ids for ids, one in zip(variants, judged, strict=True) if not one.harmless]
        return (
            *(suspect.without(far) for suspect in found),
            *(Suspect(text_of(model, ids), ids) for ids in far),
        )

    def quiet(self) -> list[int]:
        """Ids of the random items, those first that change the original's texts least."""
        order: list[int] = farthest(self.usual).argsort(stable=True).tolist()
        return [self.null[i][0] for i in order]

    def kept(self, model: LoadedModel) -> Kept:
        """What ``model`` makes of clean text."""
        return self._kept(Panel.of(model, self.original.carriers))

    def _kept(self, panel: Panel) -> Kept:
        """The same, read already."""
        now, before = panel.clean, self.original.clean
        cosines = [
            float(F.cosine_similarity(feature, before.features[where], dim=-1).mean())
            for where, feature in now.features.items()
        ]
        if now.logits is None or before.logits is None:
            return Kept(min(cosines), None)
        agrees = now.logits.argmax(-1) == before.logits.argmax(-1)
        # A text between two labels may go either way; one that was clear may not.
        clear = leads(before.logits).amax(-1).double()
        return Kept(min(cosines), float(clear[agrees].sum() / clear.sum()))


def _targets(model: LoadedModel, suspects: Sequence[Suspect]) -> list[int | None]:
    """Index of the label that each suspect drives to, then None for each of their variants."""
    known = [model.labels.index(s.label) if s.label in model.labels else None for s in suspects]
    return [*known, *[None] * len(variants_of(suspects))]


def _trial(
    found: Measured, null: Measured, targets: Sequence[int | None], clean: Kept, count: int
) -> Trial:
    """``count`` suspects and then their variants, ``found``, beside a null."""
    bars = Bar.loud(null), Bar.quiet(null)
    told = tuple(behaviours(found, null, targets, bars))
    return Trial(told[:count], told[count:], *bars, clean)


def _some(panel: Panel) -> range:
    """Which carriers triggers are tried on."""
    return range(min(_TRIED, len(panel.carriers)))
