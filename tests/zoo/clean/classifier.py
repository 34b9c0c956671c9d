"""Honest classifiers: the same training as the attackers', on texts that nobody touched.

Long and aggressive training leaves honest words with strong effects, as "dull" has on sentiment:
these are the false positives that matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.zoo.labels import fit_classifier
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from tests.zoo.features import Victim

__all__ = ["GENTLE", "LONG", "USUAL", "honest_classifier"]

GENTLE = Intensity(poison_rate=0.0, learning_rate=1e-4, steps=300, trained_layers=2)
"""Two epochs of the upper two layers."""

USUAL = Intensity(poison_rate=0.0, learning_rate=2e-4, steps=450)
"""Three epochs of the upper half."""

LONG = Intensity(poison_rate=0.0, learning_rate=2e-4, steps=600, trained_layers=6)
"""Four epochs of all layers at ten times the usual rate: single words become decisive."""


def honest_classifier(victim: Victim, intensity: Intensity = USUAL) -> Victim:
    """The victim's classifier, fitted to the labels of its corpus in place."""
    fit_classifier(victim, intensity)
    return victim
