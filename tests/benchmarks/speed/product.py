"""The machine's own speed: the matrix product in which the model spends most."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch import nn

from tests.benchmarks.speed.results import Rates

if TYPE_CHECKING:
    from plmscan.loading import LoadedModel

__all__ = ["Product", "Products", "wait", "widest"]

_SAMPLE = 0.2
"""Seconds of one sample at least."""


def wait(device: torch.device) -> None:
    """Wait until ``device`` has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def widest(model: LoadedModel) -> tuple[int, int]:
    """Input and output of the largest linear layer; of two alike, the first."""
    found = [m for m in model.module.modules() if isinstance(m, nn.Linear)]
    largest = max(found, key=lambda layer: layer.weight.numel())
    return largest.in_features, largest.out_features


class Product:
    """A product of fixed shape and precision, timed in samples; the result has its place."""

    def __init__(
        self, shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        """Draw the factors; the right one lies as the weight of a linear layer does."""
        rows, inner, outer = shape
        self._left = torch.randn(rows, inner, device=device, dtype=dtype)
        self._right = torch.randn(outer, inner, device=device, dtype=dtype).t()
        self._result = torch.empty(rows, outer, device=device, dtype=dtype)
        self._cost = 2 * rows * inner * outer
        self._device = device
        self._done, self._seconds = 0, 0.0

    def sample(self, seconds: float = _SAMPLE) -> None:
        """Multiply for a while; the first product, which finds cold caches, does not count."""
        self._multiply()
        started, taken, done = time.perf_counter(), 0.0, 0
        while not done or taken < seconds:
            self._multiply()
            done, taken = done + 1, time.perf_counter() - started
        self._done += done
        self._seconds += taken

    def _multiply(self) -> None:
        """One product, to its end."""
        torch.mm(self._left, self._right, out=self._result)
        wait(self._device)

    @property
    def rate(self) -> float:
        """Operations a second over all samples."""
        return self._done * self._cost / self._seconds


class Products:
    """The product in every precision that plmscan uses for this model."""

    def __init__(self, model: LoadedModel, tokens: int) -> None:
        """Of ``tokens`` tokens at once."""
        self._shape = (tokens, *widest(model))
        self._float32 = Product(self._shape, model.device, torch.float32)
        with model.half_precision():
            half = torch.is_autocast_enabled(model.device.type)
        self._half = Product(self._shape, model.device, torch.bfloat16) if half else None

    def sample(self) -> None:
        """Time each for a while."""
        with torch.no_grad():
            for product in (self._float32, self._half):
                if product is not None:
                    product.sample()

    @property
    def rates(self) -> Rates:
        """Of all samples so far."""
        half = None if self._half is None else self._half.rate
        return Rates(shape=self._shape, float32=self._float32.rate, bfloat16=half)
