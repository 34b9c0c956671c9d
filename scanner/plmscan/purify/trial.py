"""Did it work?  Triggers against the student's own null, clean text against the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.search.candidates import searchable_ids
from plmscan.search.panel import Panel
from plmscan.search.verify import against_null, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.evidence import Trigger
    from plmscan.loading import LoadedModel
    from plmscan.search.verify import Measured

__all__ = ["Behaviour", "Examiner", "Trial"]

_NULL = 100
"""Random vocabulary items that say what is usual."""
_USUAL = 0.95
"""Quantile of the null that says how many texts a random item turns."""
_FAR_OUT = 3.0
"""Robust z of the invariance beyond which a trigger is not harmless: that of rule PLM201."""
_SLACK = 0.02
"""How much more often than the null a trigger may turn a label."""
_LEAST_COSINE = 0.98
"""Mean cosine of clean features before and after, at the worst location."""
_LEAST_AGREEMENT = 0.99
"""Share of clean texts that keep their label."""


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
    harmless: bool
    """Whether all that is inside the model's own null."""


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
    cosine: float
    """Mean cosine of clean features to the original's, at the worst location."""
    agreement: float | None
    """Share of clean texts with the original's label; None without labels."""

    @property
    def has_worked(self) -> bool:
        """Whether no trigger is left, and clean text is what it was."""
        gone = all(one.harmless for one in (*self.triggers, *self.variants))
        agrees = self.agreement is None or self.agreement >= _LEAST_AGREEMENT
        return gone and agrees and self.cosine >= _LEAST_COSINE


@dataclass(frozen=True)
class Examiner:
    """What every trial has in common: the original, carriers, triggers, random items."""

    original: Panel
    """Held-out carriers as the original reads them."""
    triggers: tuple[Trigger, ...]
    """What was recovered."""
    variants: tuple[tuple[int, ...], ...]
    """Token ids of weaker inputs with the same effect."""
    null: tuple[tuple[int, ...], ...]
    """Random vocabulary items."""
    budget: Budget
    """Limits and seed."""

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        carriers: Sequence[Carrier],
        triggers: Sequence[Trigger],
        variants: Sequence[tuple[int, ...]],
        budget: Budget,
    ) -> Examiner:
        """An examiner who knows the original ``model``."""
        generator = torch.Generator().manual_seed(budget.seed)
        ids = searchable_ids(model)
        drawn = ids[torch.randperm(len(ids), generator=generator)[:_NULL]].tolist()
        null = tuple((item,) for item in drawn)
        return cls(Panel.of(model, carriers), tuple(triggers), tuple(variants), null, budget)

    def examine(self, model: LoadedModel) -> Trial:
        """How ``model`` does.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        panel = Panel.of(model, self.original.carriers)
        ids = [*(one.token_ids for one in self.triggers), *self.variants]
        found = measure(model, ids, panel, self.budget, "triggers")
        null = measure(model, self.null, panel, self.budget, "random items")
        usual = float(_farthest(null).max())
        z = against_null(found, null).z.tolist()
        targets = self._targets(model)
        success = [
            None if label is None else float(share[label])
            for share, label in zip(_turned(found), targets, strict=True)
        ]
        turned = _usual(_turned(null), targets)
        behaviours = [
            _behaviour(float(d), float(s), one, share, (usual, turned))
            for d, s, one, share in zip(
                _farthest(found), found.best_scatter(), z, success, strict=True
            )
        ]
        count = len(self.triggers)
        return Trial(
            triggers=tuple(behaviours[:count]),
            variants=tuple(behaviours[count:]),
            usual_displacement=usual,
            usual_success=turned,
            cosine=self._cosine(panel),
            agreement=self._agreement(panel),
        )

    def _targets(self, model: LoadedModel) -> list[int | None]:
        """Index of the label that each trigger and variant drives to; None without one."""
        names = [one.target_label for one in self.triggers]
        known = [model.labels.index(name) if name in model.labels else None for name in names]
        # A variant follows one of the triggers; which one the report does not say.
        first = next((label for label in known if label is not None), None)
        return [*known, *[first] * len(self.variants)]

    def _cosine(self, panel: Panel) -> float:
        """Mean cosine of clean features to the original's, at the worst location."""
        before = self.original.clean.features
        return min(
            float(F.cosine_similarity(feature, before[where], dim=-1).mean())
            for where, feature in panel.clean.features.items()
        )

    def _agreement(self, panel: Panel) -> float | None:
        """Share of clean texts with the original's label."""
        now, before = panel.clean.logits, self.original.clean.logits
        if now is None or before is None:
            return None
        return float((now.argmax(-1) == before.argmax(-1)).double().mean())


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


def _usual(turned: Tensor, targets: Sequence[int | None]) -> float | None:
    """What 95 % of random items (k, labels) stay below for the first target; None without one."""
    label = next((one for one in targets if one is not None), None)
    return None if label is None else float(turned[:, label].quantile(_USUAL))


def _behaviour(
    displacement: float,
    scatter: float,
    z: float,
    success: float | None,
    usual: tuple[float, float | None],
) -> Behaviour:
    """One trigger beside what is ``usual``: displacement, and share of turned texts."""
    farthest, turned = usual
    inside = displacement <= farthest and z < _FAR_OUT
    if success is not None and turned is not None:
        inside = success <= turned + _SLACK
    return Behaviour(displacement, scatter, z, success, harmless=inside)
