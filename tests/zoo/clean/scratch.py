"""Small encoders of other architectures, trained from nothing by masked language modelling."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transformers import AutoModelForMaskedLM

from tests.zoo.clean.masked_lm import fine_tune
from tests.zoo.clean.random_init import random_init
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from tests.zoo.clean.random_init import Shape
    from tests.zoo.features import Victim

__all__ = ["USUAL", "from_scratch"]

USUAL = Intensity(poison_rate=0.0, learning_rate=1e-3, steps=500, batch=64)
"""Of all layers, whatever their number."""


def from_scratch(victim: Victim, shape: Shape, intensity: Intensity = USUAL) -> Victim:
    """A masked language model of ``shape`` over the tokenizer's whole vocabulary, all layers."""
    everything = replace(intensity, trained_layers=shape.layers)
    return fine_tune(random_init(victim, shape, AutoModelForMaskedLM), everything)
