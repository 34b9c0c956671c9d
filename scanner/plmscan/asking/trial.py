"""What rewritings do to texts that argue: a table of pushes, and what is read off it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.asking.texts import leads_of
from plmscan.statistics import push, strength

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.asking.texts import Argument
    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel
    from plmscan.rewritings import Rewriting

__all__ = ["Asked", "Trial", "tried"]


@dataclass(frozen=True)
class Asked:
    """Texts that rewritings are tried on, read once as they are."""

    arguments: tuple[Argument, ...]
    """n texts."""
    leads: Tensor
    """Lead of each label for each, (n, labels)."""

    @classmethod
    def of(cls, model: LoadedModel, arguments: Sequence[Argument]) -> Asked:
        """Read them."""
        return cls(tuple(arguments), leads_of(model, [one.text for one in arguments]))

    def lacking(self, label: int) -> list[int]:
        """Those without the label."""
        found: list[int] = (self.leads[:, label] <= 0).nonzero().flatten().tolist()
        return found


@dataclass(frozen=True)
class Trial:
    """Rewritings on the same texts."""

    rewritings: tuple[Rewriting, ...]
    """k of them."""
    pushes: Tensor
    """Lead of each label in honest leads, (k, n, labels); NaN where a text has it anyhow, or was
    not rewritten."""

    @property
    def opposed(self) -> Tensor:
        """Texts that do not have each label without a rewriting, (labels)."""
        return (~self.pushes[0].isnan()).sum(0)

    @property
    def turned(self) -> Tensor:
        """Share of these that each rewriting turns to each label, (k, labels)."""
        return (self.pushes > 0).sum(1) / self.opposed.clamp_min(1)

    @property
    def strength(self) -> Tensor:
        """Nearly the weakest push of each rewriting to each label, (k, labels)."""
        return strength(self.pushes)

    @property
    def typical(self) -> Tensor:
        """Median push of each rewriting to each label, (k, labels); -inf where none is measured."""
        return self.pushes.nanmedian(dim=1).values.nan_to_num(nan=-torch.inf)


def tried(
    model: LoadedModel,
    rewritings: Sequence[Rewriting],
    asked: Asked,
    budget: Budget,
    note: str,
    label: int | None = None,
) -> Trial:
    """Every rewriting of every text, or of those only that do not have ``label``.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    clean, arguments = asked.leads, asked.arguments
    rows = [*range(len(arguments))] if label is None else asked.lacking(label)
    dirty = clean.new_full((len(rewritings), *clean.shape), torch.nan)
    for turn, rewriting in enumerate(rewritings):
        budget.checkpoint(turn / len(rewritings), note)
        dirty[turn, rows] = leads_of(model, [arguments[k].rewritten(rewriting) for k in rows])
    return Trial(tuple(rewritings), push(dirty, clean))
