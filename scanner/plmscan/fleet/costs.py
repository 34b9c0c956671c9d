"""What a task asks of the cluster, by an estimate from the model's configuration and its sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plmscan.scan import Settings

__all__ = ["EXAMINE", "FETCH", "Capacity", "Needs", "Node", "search_needs"]


@dataclass(frozen=True)
class Needs:
    """What one task holds while it runs."""

    cores: float = 0.0
    """Processor cores; 0 for what waits more than it computes."""
    memory: int = 0
    """Bytes."""
    gpus: float = 0.0
    """GPUs, or a share of one."""


FETCH = Needs()
"""A download waits for the network; how many run at a time is bounded by their host."""
EXAMINE = Needs(memory=200_000_000)
"""File probes take seconds; they run beside searches, so that the next model is ready in time."""


@dataclass(frozen=True)
class Node:
    """One machine of the cluster."""

    cores: float
    """Processor cores that tasks can ask for."""
    memory: int
    """Bytes."""
    gpus: float = 0.0
    """GPUs."""


@dataclass(frozen=True)
class Capacity:
    """What the cluster has now."""

    nodes: tuple[Node, ...]
    """Its machines; none while it starts."""

    @property
    def cores(self) -> float:
        """Of all machines."""
        return sum(node.cores for node in self.nodes)

    @property
    def gpus(self) -> float:
        """Of all machines."""
        return sum(node.gpus for node in self.nodes)

    @property
    def most_memory(self) -> int:
        """Bytes of the largest machine."""
        return max((node.memory for node in self.nodes), default=0)

    @property
    def most_cores(self) -> float:
        """Cores of the machine that has the most."""
        return max((node.cores for node in self.nodes), default=1.0)

    @property
    def memory_of_core(self) -> float:
        """Bytes that the machines have for each of their cores."""
        memory = sum(node.memory for node in self.nodes)
        return memory / self.cores if self.cores else math.inf


def search_needs(
    settings: Settings, takes: int, capacity: Capacity, gpus: float | None, losses: int = 0
) -> Needs:
    """What searching a model asks for.

    One core, or as many as belong to the memory that it takes: then no core is left over that no
    memory is left for.  Several models on a core each are faster than one on several.

    Args:
        settings: how the model is searched.
        takes: bytes that the search takes, about.
        capacity: what there is.
        gpus: GPUs of one model; None for one where there are any and the settings allow it.
        losses: how often its worker was lost; each time it asks for twice the memory.
    """
    memory = min(takes * 2**losses, capacity.most_memory)
    wanted = 0.0 if settings.device == "cpu" else gpus
    if wanted is None:
        wanted = 1.0 if capacity.gpus or settings.device == "cuda" else 0.0
    by_memory = 1.0 if wanted else max(1.0, round(memory / capacity.memory_of_core))
    cores = min(float(settings.threads or by_memory), max(capacity.most_cores, 1.0))
    return Needs(cores, memory, wanted)
