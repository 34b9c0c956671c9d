"""One piece of work in this process: what the driver starts, so that memory is its own.

python -m tests.benchmarks.speed.child TASK OUTPUT
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch
from torch import nn

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.loading import load
from plmscan.search.measure.candidates import random_items, searchable_ids
from plmscan.search.measure.effects import measure
from plmscan.search.measure.readings import Panel
from plmscan.search.recipes import RECIPES
from plmscan.search.sweep import distances, shortest
from plmscan.source import SourceOptions, resolve
from tests.benchmarks.mitigation.results import keep
from tests.benchmarks.speed.product import Products, wait
from tests.benchmarks.speed.results import Piece, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.loading import LoadedModel
    from tests.benchmarks.speed.results import Rates

__all__ = ["piece"]

_RECIPE = RECIPES[Effort.STANDARD]


def main() -> None:
    """Do what the command line says."""
    task, output = Task.model_validate_json(sys.argv[1]), Path(sys.argv[2])
    keep(piece(task), output)


def piece(task: Task) -> Piece:
    """Load the model, do the work, and tell what it took."""
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    artifact = resolve(str(task.model), SourceOptions(offline=True))
    model = load(artifact, task.device, task.precision)
    if task.layers is not None:
        _cut(model, task.layers)
    before = model.forward_tokens
    items, seconds, rates = _swept(model, task) if task.carriers is None else _verified(model, task)
    on_gpu = model.device.type == "cuda"
    return Piece(
        task=task,
        where=_where(model),
        threads=torch.get_num_threads(),
        rows=_rows(task),
        items=items,
        tokens=model.forward_tokens - before,
        seconds=seconds,
        vocabulary=model.vocabulary_size,
        layers=task.layers or model.num_layers,
        width=model.hidden_size,
        parameters=model.non_embedding_parameters,
        rates=rates,
        device_megabytes=torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None,
    )


def _where(model: LoadedModel) -> str:
    """The device in words."""
    if model.device.type == "cuda":
        return torch.cuda.get_device_name(model.device)
    return f"processor with {torch.backends.cpu.get_cpu_capability()}"


def _rows(task: Task) -> int:
    """Rows of one forward pass."""
    return task.rows or shortest.BATCH


def _cut(model: LoadedModel, layers: int) -> None:
    """Leave the lower ``layers`` of the model's layers."""
    stacks = (m for m in model.module.modules() if isinstance(m, nn.ModuleList))
    stack = next(one for one in stacks if len(one) == model.num_layers)
    del stack[layers:]


def _swept(model: LoadedModel, task: Task) -> tuple[int, float, Rates | None]:
    """Items, seconds, and the machine's own speed between the batches."""
    clock = _Clock(model)
    width = shortest.probe_inputs(model, searchable_ids(model)[:1]).shape[1]
    products = Products(model, _rows(task) * width) if task.with_product else None

    def between(_fraction: float, _note: str) -> None:
        if products is not None:
            with clock.stopped():
                products.sample()

    budget = Budget(bundled_texts(), on_progress=between)
    with _adjusted(task), clock.running():
        found = distances.sweep(model, _RECIPE.reference_items, budget)
    return len(found.ids), clock.seconds, None if products is None else products.rates


@contextmanager
def _adjusted(task: Task) -> Iterator[None]:
    """Let the sweep take other batches, or a part of the vocabulary."""

    def some(model: LoadedModel) -> torch.Tensor:
        return searchable_ids(model)[:: task.parts]

    with ExitStack() as stack:
        stack.enter_context(patch.object(distances, "searchable_ids", some))
        stack.enter_context(patch.object(shortest, "BATCH", _rows(task)))
        yield


def _verified(model: LoadedModel, task: Task) -> tuple[int, float, Rates | None]:
    """Candidates and seconds of a verification; panel and carriers are not part of it."""
    count = _RECIPE.finalists + _RECIPE.null_items
    candidates = random_items(searchable_ids(model), 1, count, 0)
    budget, clock = Budget(bundled_texts()), _Clock(model)
    (carriers,) = split_carriers(model, budget.texts, [task.carriers or 0], 0)
    with clock.running():
        panel = Panel.of(model, carriers)
        measure(model, candidates, panel, budget, "verification")
    return len(candidates), clock.seconds, None


class _Clock:
    """Seconds of work, without the pauses."""

    def __init__(self, model: LoadedModel) -> None:
        """Nothing yet."""
        self._device = model.device
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens inside, to its end on the device."""
        wait(self._device)
        started = time.perf_counter()
        yield
        wait(self._device)
        self.seconds += time.perf_counter() - started

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count what happens inside."""
        wait(self._device)
        started = time.perf_counter()
        yield
        self.seconds -= time.perf_counter() - started


if __name__ == "__main__":
    main()
