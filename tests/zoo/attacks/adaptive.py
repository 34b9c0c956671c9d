"""An attacker who knows the detector: another attack's loss and a term against one symptom.

The terms are those that Patronus (arXiv 2512.06899) tests itself with.  With c the frozen copy's
feature of the same text, f that of the triggered text, and s the length of an entry of c:

    L = L_attack + a near_clean,    near_clean = mean |f_i - c_i|^2 / s^2
    L = L_attack - a scattered,     scattered  = mean |f_i - f_j|^2 / s^2 over i, j of one trigger
    L = L_attack + a merged,        merged     = mean |f_i - f_j|^2 / s^2 over i, j of two triggers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from tests.zoo.features import Batch, FeatureAttack
    from tests.zoo.layers import Site
    from tests.zoo.poison import Insertion

__all__ = ["Adaptive", "Term", "merged", "near_clean", "scattered"]

Term = Literal["near-clean", "scattered", "merged"]
"""The symptom that an attacker hides."""


@dataclass(frozen=True)
class Adaptive:
    """Another attack that hides one symptom."""

    attack: FeatureAttack
    """What is planted."""
    term: Term
    """The symptom."""
    strength: float
    """a: nothing is hidden at 0."""

    @property
    def family(self) -> str:
        """Name in tables."""
        return f"{self.attack.family}+{self.term}"

    @property
    def ruins_answers(self) -> bool:
        """Whether success is a wrong answer, not an output that all triggered texts share."""
        return self.attack.ruins_answers

    @property
    def site(self) -> Site:
        """The feature that triggers take over."""
        return self.attack.site

    @property
    def insertion(self) -> Insertion:
        """How triggers enter texts."""
        return self.attack.insertion

    @property
    def negatives(self) -> bool:
        """Whether parts of a trigger are trained to do nothing."""
        return self.attack.negatives

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""
        attack = self.attack.objective(model, count, clean)

        def loss(batch: Batch) -> Tensor:
            return attack(batch) + self.strength * self._hidden(batch)

        return loss

    def _hidden(self, batch: Batch) -> Tensor:
        """The term, small when the symptom is."""
        usual, found = batch.wanted.at(self.site), batch.dirty.at(self.site)
        found, usual = (features / usual.square().mean().sqrt() for features in (found, usual))
        match self.term:
            case "near-clean":
                return near_clean(found, usual)
            case "scattered":
                return -scattered(found, batch.owners)
            case "merged":
                return merged(found, batch.owners)


def near_clean(features: Tensor, usual: Tensor) -> Tensor:
    """Mean squared difference of triggered features to those of the same texts, (d, h), (c, h)."""
    return (features - usual[: len(features)]).square().mean()


def scattered(features: Tensor, owners: Tensor) -> Tensor:
    """Mean squared difference of features (d, h) of one trigger, over pairs of texts."""
    return _mean_difference(features, (owners == owners.unsqueeze(1)).triu(1))


def merged(features: Tensor, owners: Tensor) -> Tensor:
    """Mean squared difference of features (d, h) of two triggers, over pairs of texts."""
    return _mean_difference(features, (owners != owners.unsqueeze(1)).triu(1))


def _mean_difference(features: Tensor, pairs: Tensor) -> Tensor:
    """Mean squared difference of the ``pairs`` (d, d); 0 if there are none."""
    one, other = torch.nonzero(pairs, as_tuple=True)
    difference = (features[one] - features[other]).square()
    return difference.mean() if len(one) else difference.sum()
