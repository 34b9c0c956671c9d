"""Did it work?  Triggers against the student's own null, clean text against the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.purify.suspects import variants_of
from plmscan.search.candidates import searchable_ids
from plmscan.search.panel import Panel
from plmscan.search.verify import against_null, measure
from plmscan.statistics import leads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.purify.suspects import Suspect
    from plmscan.search.verify import Measured

__all__ = ["Behaviour", "Examiner", "Kept", "Trial"]

_NULL = 60
"""Random vocabulary items that say what is usual."""
_USUAL = 0.95
"""Quantile of the null that says how many texts a random item turns."""
_FAR_OUT = 3.0
"""Robust z of the invariance beyond which a trigger is not harmless: that of rule PLM201."""
_SLACK = 0.02
"""How much more often than the null a trigger may turn a label."""
_LEAST_COSINE = 0.985
"""Mean cosine of clean features before and after, at the worst location."""
_LEAST_AGREEMENT = 0.98
"""Share of clean texts that keep their label, each as heavy as its lead was."""
_TRIED = 48
"""Carriers for triggers, at most; clean text is read in all that there are."""


@dataclass(frozen=True)
class Behaviour:
    """What one trigger does, before or after."""

    displacement: float
    """D where it is largest."""
    scatter: float
    """S where it is least."""
    z: float
    """Robust z of the invariance against the null."""
    success: float | None
    """Share of texts of other labels that it turns to its own; None without labels."""
    corruption: float | None
    """Share of the recall of hidden words that it takes; None without a masked language model."""
    harmless: bool
    """Whether all that is what random items of the model's own vocabulary do, too."""


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
    usual_displacement: float
    """The largest of the random vocabulary items."""
    usual_success: float | None
    """Share of turned texts that 95 % of them stay below; None without labels."""
    usual_corruption: float | None
    """Share of lost recall that 95 % of them stay below; None without a masked language model."""
    clean: Kept
    """Clean text."""

    @property
    def has_worked(self) -> bool:
        """Whether no trigger is left, and clean text is what it was."""
        gone = all(one.harmless for one in (*self.triggers, *self.variants))
        return gone and self.clean.is_enough


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

    def quiet(self) -> list[int]:
        """Ids of the random items, those first that change the original's texts least."""
        order: list[int] = _farthest(self.usual).argsort(stable=True).tolist()
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
    usual = _Usual.of(null, targets)
    behaviours = usual.judged(found, against_null(found, null).z)
    return Trial(
        triggers=tuple(behaviours[:count]),
        variants=tuple(behaviours[count:]),
        usual_displacement=usual.displacement,
        usual_success=usual.success,
        usual_corruption=usual.corruption,
        clean=clean,
    )


def _some(panel: Panel) -> range:
    """Which carriers triggers are tried on."""
    return range(min(_TRIED, len(panel.carriers)))


def _farthest(measured: Measured) -> Tensor:
    """Displacement of each candidate where it is largest, (k)."""
    return torch.stack(list(measured.displacement.values())).max(0).values


def _turned(measured: Measured) -> Tensor:
    """Share of the carriers of other labels that each candidate turns to each label, (k, labels).

    A label with a lead is the one that the model gives.  0 where all carriers have it anyhow.
    """
    if measured.push is None:
        return torch.zeros(len(measured.best_scatter()), 0)
    against = ~measured.push.isnan()
    return ((measured.push > 0) & against).sum(1) / against.sum(1).clamp_min(1)


@dataclass(frozen=True)
class _Usual:
    """What random vocabulary items do."""

    targets: Sequence[int | None]
    """Label that each candidate is to be held against; None without one."""
    displacement: float
    """The largest."""
    success: float | None
    """Share of turned texts that 95 % stay below, for the first target; None without one."""
    corruption: float | None
    """Share of lost recall that 95 % stay below; None without a masked language model."""

    @classmethod
    def of(cls, null: Measured, targets: Sequence[int | None]) -> _Usual:
        """Of random items."""
        label = next((one for one in targets if one is not None), None)
        lost = null.corruption
        return cls(
            targets=targets,
            displacement=float(_farthest(null).max()),
            success=None if label is None else float(_turned(null)[:, label].quantile(_USUAL)),
            corruption=None if lost is None else float(lost.quantile(_USUAL)),
        )

    def judged(self, found: Measured, z: Tensor) -> list[Behaviour]:
        """Every candidate, with its robust ``z`` (k) of the invariance."""
        turned, lost = _turned(found), found.corruption
        return [
            self._judged(
                float(displacement),
                float(scatter),
                float(z[i]),
                None if label is None else float(turned[i, label]),
                None if lost is None else float(lost[i]),
            )
            for i, (displacement, scatter, label) in enumerate(
                zip(_farthest(found), found.best_scatter(), self.targets, strict=True)
            )
        ]

    def _judged(
        self, displacement: float, scatter: float, z: float, *shares: float | None
    ) -> Behaviour:
        """One candidate.

        A label alone would not do: few texts, or none, may have another one to be turned from.
        """
        success, corruption = shares
        inside = displacement <= self.displacement and z < _FAR_OUT
        if success is not None and self.success is not None:
            inside = inside and success <= self.success + _SLACK
        if corruption is not None and self.corruption is not None:
            inside = inside and corruption <= self.corruption + _SLACK
        return Behaviour(displacement, scatter, z, success, corruption, harmless=inside)
