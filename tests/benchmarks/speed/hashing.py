"""How fast the weights are hashed, and how fast they could be read at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plmscan.source.files import digests, kinds
from tests.benchmarks.speed.results import Hashed
from tests.benchmarks.speed.shapes import weight_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["hashed"]

_BUFFER = 2**20
_TIMES = 3


def hashed(model: Path) -> Hashed:
    """Best of three each, in turn, after a read that brings the files into the system's cache."""
    sizes = weight_files(model)
    held = kinds(model, sizes)
    _read(model, sizes)
    readings, hashings = [], []
    for _ in range(_TIMES):
        readings.append(_timed(lambda: _read(model, sizes)))
        hashings.append(_timed(lambda: digests(model, sizes, held, lambda _fraction, _note: None)))
    return Hashed(size=sum(sizes.values()), reading=min(readings), hashing=min(hashings))


def _timed(work: Callable[[], object]) -> float:
    """Seconds of ``work``."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _read(model: Path, sizes: Mapping[str, int]) -> None:
    """Read the files one after the other into the same buffer."""
    buffer = bytearray(_BUFFER)
    for name in sizes:
        with (model / name).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
