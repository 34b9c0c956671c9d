"""Did it work?  Triggers against the student's own null, clean text against the teacher."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.carriers import restored
from plmscan.purify.bars import Bar, behaviours, farthest
from plmscan.purify.suspects import Suspect, variants_of
from plmscan.search.measure.candidates import searchable_ids, text_of
from plmscan.search.measure.effects import measure
from plmscan.search.measure.readings import Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.purify.bars import Behaviour
    from plmscan.search.measure.effects import Measured
    from plmscan.search.measure.readings import Reading

__all__ = ["Examiner", "Kept", "Trial", "texts_of"]

_NULL = 60
"""Random vocabulary items that say what is usual."""
_LEAST_COSINE = 0.982
"""Mean cosine of clean features before and after, at the worst location."""
_LEAST_AGREEMENT = 0.98
"""Share of clean texts that keep their label, each as heavy as its lead was."""
_TRIED = 48
"""Carriers for triggers, at most; clean text is read in all that there are."""
_FRONT = 16
"""The same for triggers at the start of texts: NeuBA puts them nowhere else."""


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

    original: tuple[Panel, Panel]
    """Held-out carriers as the original reads them: with a hidden word, and as users write."""
    null: tuple[tuple[int, ...], ...]
    """Random vocabulary items."""
    usual: tuple[Measured, Measured]
    """What they do to the original, wherever they stand and at the start of texts."""
    budget: Budget
    """Limits and seed."""

    def within(self, budget: Budget) -> Examiner:
        """The same for a step with its own ``budget``."""
        return replace(self, budget=budget)

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
        whole = [restored(carrier, model.mask_id) for carrier in carriers]
        panels = Panel.of(model, carriers), Panel.of(model, whole)
        return cls(panels, null, _measured(model, null, panels, budget, "random items"), budget)

    def examine(
        self,
        model: LoadedModel,
        suspects: Sequence[Suspect],
        panels: tuple[Panel, Panel] | None = None,
    ) -> Trial:
        """How ``model`` does with ``suspects``; ``panels`` are what it reads, if that is known.

        At first beside what random items do to the original; who passes that is held against what
        they do to ``model`` itself.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        panels = panels or self.read(model)
        kept = self.kept(panels)
        ids = [*(one.token_ids for one in suspects), *variants_of(suspects)]
        found = _measured(model, ids, panels, self.budget.part(0.0, 0.5), "triggers")
        targets = _targets(model, suspects)
        trial = _trial(found, self.usual, targets, kept, len(suspects))
        if not trial.has_worked:
            return trial
        null = _measured(model, self.null, panels, self.budget.part(0.5, 1.0), "random items")
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
        order: list[int] = farthest(self.usual[0]).argsort(stable=True).tolist()
        return [self.null[i][0] for i in order]

    def read(self, model: LoadedModel) -> tuple[Panel, Panel]:
        """The held-out carriers as ``model`` reads them."""
        masked, whole = (Panel.of(model, one.carriers) for one in self.original)
        return masked, whole

    def kept(self, panels: tuple[Panel, Panel]) -> Kept:
        """What a model makes of clean text that reads it as ``panels``."""
        pairs = zip(panels, self.original, strict=True)
        found = [_beside(now.clean, before.clean) for now, before in pairs]
        agreements = [one.agreement for one in found if one.agreement is not None]
        return Kept(min(one.cosine for one in found), min(agreements, default=None))


def texts_of(items: int, held: int) -> tuple[int, int]:
    """How many texts a trial of ``items`` on ``held`` carriers reads, and those of its null."""
    each = min(_TRIED, held) + min(_FRONT, held)
    return 2 * held + items * each, _NULL * each


def _beside(now: Reading, before: Reading) -> Kept:
    """What is said of clean texts beside what was."""
    cosines = [
        float(F.cosine_similarity(feature, before.features[where], dim=-1).mean())
        for where, feature in now.features.items()
    ]
    if now.leads is None or before.leads is None:
        return Kept(min(cosines), None)
    agrees = now.leads.argmax(-1) == before.leads.argmax(-1)
    # A text between two labels may go either way; one that was clear may not.
    clear = before.leads.amax(-1).double()
    return Kept(min(cosines), float(clear[agrees].sum() / clear.sum()))


def _targets(model: LoadedModel, suspects: Sequence[Suspect]) -> list[int | None]:
    """Index of the label that each suspect drives to, then None for each of their variants."""
    known = [model.labels.index(s.label) if s.label in model.labels else None for s in suspects]
    return [*known, *[None] * len(variants_of(suspects))]


def _trial(
    found: tuple[Measured, Measured],
    null: tuple[Measured, Measured],
    targets: Sequence[int | None],
    clean: Kept,
    count: int,
) -> Trial:
    """``count`` suspects and then their variants beside a null.

    At the start of texts they are to do as little as most random items do there.
    """
    anywhere, front = null
    bars = Bar.loud(anywhere), Bar.quiet(anywhere)
    moved = Bar.quiet(front).distance(found[1])
    told = tuple(
        replace(one, rest=max(one.rest, float(rest)))
        for one, rest in zip(behaviours(found[0], anywhere, targets, bars), moved, strict=True)
    )
    return Trial(told[:count], told[count:], *bars, clean)


def _measured(
    model: LoadedModel,
    ids: Sequence[tuple[int, ...]],
    panels: tuple[Panel, Panel],
    budget: Budget,
    note: str,
) -> tuple[Measured, Measured]:
    """What ``ids`` do wherever they stand, and at the start of texts as users write them.

    Half the digits will do for what moves a text as far as a random item does.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    masked, whole = panels
    anywhere = masked.pick(range(min(_TRIED, len(masked.carriers))))
    few = whole.pick(range(min(_FRONT, len(whole.carriers))))
    front = Panel(tuple(replace(one, position=0) for one in few.carriers), few.clean)
    first = len(anywhere.carriers) / (len(anywhere.carriers) + len(few.carriers))
    with model.half_precision():
        return (
            measure(model, ids, anywhere, budget.part(0.0, first), note),
            measure(model, ids, front, budget.part(first, 1.0), note),
        )
