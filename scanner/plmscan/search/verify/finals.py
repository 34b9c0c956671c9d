"""Finalists: what of the candidates holds on carriers that no selection saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.effects import measure
from plmscan.search.propose.parts import beats_its_parts, with_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.measure.effects import Measured
    from plmscan.search.measure.readings import Panel

__all__ = ["Finals", "confirmed"]

_FAINTER = 1.2
"""Scatter of a part in multiples of that of the whole, at least."""

_STRONGER = 0.05
"""Strength of the whole beyond that of its part, at least."""


@dataclass(frozen=True)
class Finals:
    """Finalists on the verification panel, single items before longer ones."""

    ids: list[tuple[int, ...]]
    """Token ids."""
    measured: Measured
    """Of each."""
    honest: tuple[tuple[int, ...], ...] = ()
    """Words that argue for a label by themselves, and pairs of them: how far those get says how far
    a finalist is from what honest words do, whoever else the finalists are."""

    @property
    def places(self) -> tuple[Location, ...]:
        """Where each is most invariant."""
        return self.measured.best_location()

    def kinds(self) -> list[tuple[int, list[int]]]:
        """Tokens of a null, and the indices of those that are held against it.

        Single items have one of their own.  All others share that of the longest: more random
        tokens leave less of a carrier, so it is never too mild.
        """
        longest = max(len(one) for one in self.ids)
        single = [i for i, one in enumerate(self.ids) if len(one) == 1]
        longer = [i for i, one in enumerate(self.ids) if len(one) > 1]
        return [(size, some) for size, some in ((1, single), (longest, longer)) if some]


def confirmed(
    model: LoadedModel,
    singles: Sequence[tuple[int, ...]],
    longer: Sequence[tuple[int, ...]],
    panel: Panel,
    budget: Budget,
    wholes: Mapping[tuple[int, ...], tuple[int, ...]] | None = None,
) -> Finals:
    """Single items, and the longer candidates that beat them on the verification panel as well.

    Of the ``wholes``, which a part grew to, those that do more than this part.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    wholes = wholes or {}
    both = list(dict.fromkeys((*with_parts(singles, longer), *wholes.values(), *wholes)))
    found = measure(model, both, panel, budget, "verification")
    whole = {i for i, one in enumerate(both) if one in wholes}
    kept = [
        i
        for i, one in enumerate(both)
        if (i in whole and _does_more(i, both.index(wholes[one]), found))
        or (i not in whole and (len(one) == 1 or beats_its_parts(i, both, found)))
    ]
    return Finals([both[i] for i in kept], found.pick(torch.tensor(kept)))


def _does_more(index: int, part: int, found: Measured) -> bool:
    """Whether a candidate leaves a text less than its part, or turns more of them to a label."""
    if found.strength is not None:
        return bool((found.strength[index] >= found.strength[part] + _STRONGER).any())
    best = found.best_scatter()
    return bool(best[index] <= best[part] / _FAINTER)
