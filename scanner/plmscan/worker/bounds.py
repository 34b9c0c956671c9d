"""What a worker may take: the one place for these numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plmscan.source import Artifact

__all__ = ["LARGEST_MESSAGE", "Bounds"]

LARGEST_MESSAGE = 64 * 2**20
"""Bytes that a worker may tell at once, and a file probe in all."""
_STACK = 16 * 2**20
"""Of each thread that torch may start, one a core."""


@dataclass(frozen=True)
class Bounds:
    """What the parts of a scan may take of time and memory."""

    file_probe_bytes: int = 10**9
    """What a file probe may allocate beyond what the worker has when it begins."""
    base_seconds: float = 10.0
    """What a file probe may take of the processor, beside what it takes to hash the files."""
    hashed_bytes: float = 100e6
    """Bytes that a slow machine reads and hashes in a second."""
    patience: float = 6.0
    """Times that the clock may show what a probe may take, where the system does not count for how
    long the probe waited for its turn; elsewhere that time is added, and no other."""
    identify_seconds: float = 3.0
    """What it may take to read what a report says about the model, which file probes have read."""
    start_seconds: float = 120.0
    """In which a worker, or the module of a probe, has to be there, on the slowest of disks."""
    grace_seconds: float = 5.0
    """What a probe that runs the model has to stop by itself once the time limit is over."""
    model_base_bytes: int = 2 * 10**9
    """What the search may allocate for the smallest model: it takes a third of that."""
    headroom: int = 3
    """Times that the bound is what honest models take."""
    model_factor: int = 24
    """Bytes by byte of the weight files: it takes a third of that where the vocabulary is most of
    the model, and half of it where those are 16-bit numbers, which are computed with in 32."""

    shrunken_factor: int = 4
    """By how much more that is for shrunken weights: those of 4 bits are a quarter of 16."""

    def file_probe_seconds(self, artifact: Artifact) -> float:
        """How long one file probe may take, in processor time where the system tells it."""
        return round(self.base_seconds + self._hashing(artifact), 1)

    def seconds_to_identify(self, artifact: Artifact) -> float:
        """The same for what a report says about the model."""
        return self.identify_seconds + self._hashing(artifact)

    def model_bytes(self, artifact: Artifact, reference: Artifact | None) -> int:
        """What loading and searching the model may allocate beyond what the worker has before."""
        twin = artifact.stack[:1] if artifact.on_top else ()  # it is read with its adapters off
        models = [*artifact.stack, *twin, *([] if reference is None else [reference])]
        size = sum(map(self._size, models))
        return self.model_base_bytes + self.model_factor * size + _STACK * (os.cpu_count() or 1)

    def model_takes(self, artifact: Artifact, reference: Artifact | None) -> int:
        """About what of that the search does take."""
        return self.model_bytes(artifact, reference) // self.headroom

    def _size(self, model: Artifact) -> int:
        """Bytes of the weight files of ``model``, of shrunken ones as many as others would have."""
        size = sum(file.size for file in model.files if file.path in model.weights)
        return size * self.shrunken_factor if model.is_shrunken else size

    def _hashing(self, artifact: Artifact) -> float:
        """Seconds that it takes to hash all files."""
        return sum(file.size for file in artifact.files) / self.hashed_bytes
