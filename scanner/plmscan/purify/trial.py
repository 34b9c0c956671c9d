"""Did it work?  Triggers against the student's own null, clean text against the teacher."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.purify.suspects import Suspect, variants_of
from plmscan.search.candidates import searchable_ids, text_of
from plmscan.search.panel import Panel
from plmscan.search.verify import against_null, measure
from plmscan.statistics import leads, robust_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.verify import Measured

__all__ = ["Behaviour", "Examiner", "Kept", "Trial"]

_NULL = 60
"""Random vocabulary items that say what is usual."""
_QUIET = 0.25
"""Quantile of the null below which triggers should stay."""
_FAR_OUT = 3.0
"""Robust z beyond which a trigger or a variant is not harmless: that of rule PLM201."""
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
    reach: float
    """The most of all that, in multiples of what hardly a random item does more than."""
    rest: float
    """The same in multiples of what most random items do more than."""

    @property
    def harmless(self) -> bool:
        """Whether all that is what random items of the model's own vocabulary do, too."""
        return self.reach <= 1


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
class Bar:
    """What a candidate has to stay below."""

    displacement: Mapping[Location, float]
    """D at each location."""
    success: tuple[float, ...]
    """Share of turned texts, for each label; empty without labels."""
    corruption: float | None
    """Share of lost recall; None without a masked language model."""

    @classmethod
    def quiet(cls, null: Measured) -> Bar:
        """What most random items do more than."""
        return cls._of(null, lambda values: values.quantile(_QUIET))

    @classmethod
    def loud(cls, null: Measured) -> Bar:
        """What hardly a random item does more than; triggers among them do not count."""
        return cls._of(null, lambda values: robust_bound(values, _FAR_OUT))

    @classmethod
    def _of(cls, null: Measured, level: Callable[[Tensor], Tensor]) -> Bar:
        """That ``level`` (m) -> () of what random items do; D spans decades, so its log counts."""
        lost = null.corruption
        return cls(
            {where: float(level(one.log()).exp()) for where, one in null.displacement.items()},
            tuple(float(level(column)) for column in _turned(null).T),
            None if lost is None else float(level(lost)),
        )

    def reach(self, found: Measured, z: Tensor, targets: Sequence[int | None]) -> Tensor:
        """The most that each candidate does, in multiples of what it may do, (k).

        ``z`` (k) are robust z of the invariance, ``targets`` each one's label if that is known.  A
        label alone would not do: few texts, or none, may have another one to be turned from.
        """
        parts = [one / self.displacement[where] for where, one in found.displacement.items()]
        parts.append(z / _FAR_OUT)
        bars = _aimed(torch.tensor([self.success] * len(targets)), targets)
        parts.append(_aimed(_turned(found), targets) / (bars + _SLACK))
        if found.corruption is not None and self.corruption is not None:
            # Some random items make a model name more words rightly.
            parts.append(found.corruption / (max(self.corruption, 0.0) + _SLACK))
        return torch.stack(parts).nan_to_num(0.0, posinf=torch.inf).amax(0)


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

    def cores(self, model: LoadedModel, found: Sequence[Suspect]) -> tuple[Suspect, ...]:
        """What in ``found`` is to be forgotten, told from the company that it keeps in ``model``.

        A variant that is far out is a suspect itself.  A longer trigger of a label becomes those of
        its tokens that turn every carrier alone: an honest word persuades, but there is always a
        text that it does not turn, and what it means is to stay.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        if not found:
            return ()
        variants = zip(variants_of(found), self.examine(model, found).variants, strict=True)
        far = [ids for ids, one in variants if not one.harmless]
        return (
            *chain.from_iterable(self._overriding(model, s) or [s.without(far)] for s in found),
            *(Suspect(text_of(model, ids), ids) for ids in far),
        )

    def _overriding(self, model: LoadedModel, found: Suspect) -> list[Suspect]:
        """The tokens of a longer trigger of a label that alone turn every carrier to it."""
        if found.label not in model.labels or len(found.token_ids) == 1:
            return []
        parts = [(i,) for i in dict.fromkeys(found.token_ids)]
        panel = self.original.pick(_some(self.original))
        turned = _turned(measure(model, parts, panel, self.budget, "parts of triggers"))
        turns_all = turned[:, model.labels.index(found.label)] == 1
        return [
            Suspect(text_of(model, ids), ids, found.label)
            for ids, all_of_them in zip(parts, turns_all.tolist(), strict=True)
            if all_of_them
        ]

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
    loud, quiet = Bar.loud(null), Bar.quiet(null)
    behaviours = _behaviours(found, against_null(found, null).z, targets, loud, quiet)
    return Trial(tuple(behaviours[:count]), tuple(behaviours[count:]), loud, quiet, clean)


def _behaviours(
    found: Measured, z: Tensor, targets: Sequence[int | None], loud: Bar, quiet: Bar
) -> list[Behaviour]:
    """Every candidate, with its robust ``z`` (k) of the invariance, beside both bars."""
    displacement, scatter = _farthest(found), found.best_scatter()
    success, corruption = _aimed(_turned(found), targets), found.corruption
    reach, rest = (bar.reach(found, z, targets) for bar in (loud, quiet))
    return [
        Behaviour(
            displacement=float(displacement[i]),
            scatter=float(scatter[i]),
            z=float(z[i]),
            success=None if target is None else float(success[i]),
            corruption=None if corruption is None else float(corruption[i]),
            reach=float(reach[i]),
            rest=float(rest[i]),
        )
        for i, target in enumerate(targets)
    ]


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


def _aimed(shares: Tensor, targets: Sequence[int | None]) -> Tensor:
    """Each candidate's entry of ``shares`` (k, labels) for its own label; NaN without one, (k)."""
    rows = (
        (shares[i, t] if t is not None else shares.new_tensor(torch.nan))
        for i, t in enumerate(targets)
    )
    return torch.stack(list(rows)) if targets else shares.new_empty(0)
