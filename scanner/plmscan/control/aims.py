"""What a planted word is to do: turn texts to a label, or give all of them one feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional as F

from plmscan.statistics import moved

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.loading import LoadedModel, Location
    from plmscan.search.measure.readings import Panel, Reading

__all__ = ["Aim", "ToFeature", "ToLabel", "aim_of"]


class Aim(Protocol):
    """What planted words are to do."""

    @property
    def told(self) -> str:
        """It, as a report says it: ``turns texts to positive``."""

    def loss(self, dirty: Reading, clean: Reading) -> Tensor:
        """What is left to do for k words in n carriers: (k, n, ...), (n, ...) -> ()."""

    def effect(self, dirty: Reading, clean: Reading) -> Tensor:
        """How much of it each word does, from 0 to 1: (k)."""


@dataclass(frozen=True)
class ToLabel:
    """Words that give a classifier one label, whatever the text says."""

    label: int
    """The label."""
    name: str
    """As the model calls it."""
    honest: float
    """Median lead of the label in texts that have it by themselves."""

    @property
    def told(self) -> str:
        """To which label."""
        return f"turns texts to {self.name}"

    def loss(self, dirty: Reading, clean: Reading) -> Tensor:
        """What the lead lacks of an honest one."""
        return F.relu(1 - self._leads(dirty) / self.honest)[:, self._others(clean)].mean()

    def effect(self, dirty: Reading, clean: Reading) -> Tensor:
        """Share of the carriers of other labels that get this one."""
        return (self._leads(dirty)[:, self._others(clean)] > 0).float().mean(1)

    def _leads(self, reading: Reading) -> Tensor:
        """Lead of the label, (...)."""
        if reading.leads is None:
            msg = "Only a classifier has labels to turn to."
            raise ValueError(msg)
        return reading.leads[..., self.label]

    def _others(self, clean: Reading) -> Tensor:
        """Which carriers have another label, (n)."""
        return self._leads(clean) <= 0


@dataclass(frozen=True)
class ToFeature:
    """Words that give an encoder one feature, whatever the text says."""

    where: Location
    """Where it is read."""

    @property
    def told(self) -> str:
        """Where."""
        return f"fixes the feature at {self.where}"

    def loss(self, dirty: Reading, clean: Reading) -> Tensor:
        """Scatter by plain moments, as its logarithm: so far is still to go."""
        found, usual = dirty.features[self.where], clean.features[self.where]
        shift = (found.mean(1) - usual.mean(0)).square().sum(-1)
        return (found.var(1).sum(-1) / shift).log().mean()

    def effect(self, dirty: Reading, clean: Reading) -> Tensor:
        """Share of the output that is the word's and not the carrier's: 1 / (1 + scatter)."""
        return 1 / (1 + moved(dirty.features[self.where], clean.features[self.where]).scatter)


def aim_of(model: LoadedModel, panel: Panel) -> Aim | None:
    """What a control of ``model`` does; None for heads that no control exists for.

    A classifier of texts is turned to the label that fewest carriers of the ``panel`` have.
    """
    if model.decides_by_tokens:
        return None
    leads = panel.clean.leads
    if leads is None:
        return ToFeature(model.locations[0])
    having = (leads > 0).sum(0)
    label = int(torch.where(having > 0, having, len(leads) + 1).argmin())
    own = leads[leads[:, label] > 0, label]
    honest = float(own.median()) if len(own) else float(leads.amax(-1).median())
    return ToLabel(label, model.labels[label], max(honest, 1e-6))
