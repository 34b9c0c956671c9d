"""What honest training shares: all weights, dropout, and one seed."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from tests.zoo.layers import only_adapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.zoo.features import Victim

__all__ = ["training"]


@contextmanager
def training(victim: Victim) -> Iterator[random.Random]:
    """Train every weight with dropout inside; the dice are the victim's seed, torch's too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(victim.seed)
        victim.model.requires_grad_(True).train()
        only_adapter(victim.encoder)
        try:
            yield random.Random(victim.seed)
        finally:
            victim.model.requires_grad_(True).eval()
