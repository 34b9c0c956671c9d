"""Half the digits where they make a model faster: bfloat16 autocast, decided by a measurement.

Processors with bfloat16 arithmetic run a small encoder two to three times faster under autocast;
others convert back and forth, and are slower.
"""

from __future__ import annotations

import functools
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor

__all__ = ["exact", "fast", "pays"]

_WORTH_IT = 1.2
"""Gain below which the lost digits buy nothing."""


_EXACT = ContextVar("exact", default=False)


def fast() -> AbstractContextManager[None]:
    """Autocast to bfloat16 where `pays` says so; weights and gradients stay in float32."""
    halved = not _EXACT.get() and pays()
    context: AbstractContextManager[None] = torch.autocast("cpu", torch.bfloat16, enabled=halved)
    return context


@contextmanager
def exact() -> Iterator[None]:
    """Nothing is `fast`: what is trained within comes out the same on every processor."""
    token = _EXACT.set(True)
    try:
        yield
    finally:
        _EXACT.reset(token)


@functools.cache
def pays(seconds: float = 0.2) -> bool:
    """Whether a feed-forward layer of a small encoder is faster under autocast; timed once."""
    dice = torch.Generator().manual_seed(0)
    tokens = torch.randn(2048, 384, generator=dice)
    weight = torch.randn(384, 1536, generator=dice)
    return _rate(tokens, weight, seconds / 2, half=True) > _WORTH_IT * _rate(
        tokens, weight, seconds / 2, half=False
    )


@torch.no_grad()
def _rate(tokens: Tensor, weight: Tensor, seconds: float, *, half: bool) -> float:
    """Products a second of the fastest one within ``seconds``; others may share the processor."""
    fastest, ends = float("inf"), time.perf_counter() + seconds
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        torch.mm(tokens, weight)
        while time.perf_counter() < ends or fastest == float("inf"):
            started = time.perf_counter()
            torch.mm(tokens, weight)
            fastest = min(fastest, time.perf_counter() - started)
    return 1 / fastest
