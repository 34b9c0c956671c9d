"""The base itself, as it is and without its pooler."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.zoo.features import Victim

__all__ = ["untouched", "without_pooler"]


def untouched(victim: Victim) -> Victim:
    """A plain copy."""
    return victim


def without_pooler(victim: Victim) -> Victim:
    """What most sentence encoders on the Hub are: a config with a pooler, no weights for it."""
    victim.encoder.pooler = None
    return victim
