"""How the cost of the sweep and of the verification grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.speed.results import Axis, Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CUDA_ROWS", "ROWS", "tasks"]

ROWS = (256, 1024, 4096)
"""Rows of one forward pass."""
CUDA_ROWS = (1024, 4096, 16384)
"""The same where a GPU has room, of which the fastest counts."""
_CARRIERS = (12, 24, 48)
_PARTS = (4, 2, 1)


def tasks(model: Path, device: str, layers: int, threads: int) -> Iterator[tuple[Axis, Task]]:
    """What to do, axis by axis, small before large; ``threads`` are torch's own choice.

    Memory tells of rows and carriers only, so these do without the matrix product.
    """
    plain = Task(model=model, device=device)
    alone = plain.model_copy(update={"with_product": False})
    for parts in _PARTS:
        yield Axis.VOCABULARY, plain.model_copy(update={"parts": parts})
    for left in sorted({max(1, layers * third // 3) for third in (1, 2, 3)}):
        yield Axis.LAYERS, plain.model_copy(update={"layers": left})
    for rows in ROWS if device == "cpu" else CUDA_ROWS:
        yield Axis.ROWS, alone.model_copy(update={"rows": rows})
    for count in sorted({1, min(2, threads), threads}) if device == "cpu" else ():
        yield Axis.THREADS, plain.model_copy(update={"threads": count})
    for carriers in _CARRIERS:
        yield Axis.CARRIERS, alone.model_copy(update={"carriers": carriers})
