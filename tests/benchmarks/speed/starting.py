"""Commands that measure nothing, as whole processes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.benchmarks.runs import measured
from tests.benchmarks.speed.results import Started
from tests.benchmarks.speed.shapes import without_weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["started"]

_TIMES = 5


def started(model: Path, folder: Path, times: int = _TIMES) -> tuple[Started, ...]:
    """Run each command once to warm the caches, then ``times`` times; ``folder`` is for files."""
    small = without_weights(model, folder / "without-weights")
    commands = {
        "--version": ["--version"],
        "--help": ["--help"],
        "check --files-only": _files_only(model),
        "the same without weights to hash": _files_only(small),
    }
    log = folder / "starting.log"
    return tuple(
        Started(command=name, seconds=tuple(_seconds(words, log, times)))
        for name, words in commands.items()
    )


def _files_only(model: Path) -> list[str]:
    """A check of the files alone."""
    return ["check", str(model.resolve()), "--files-only", "--no-cache", "--device", "cpu"]


def _seconds(words: list[str], log: Path, times: int) -> Iterator[float]:
    """Wall-clock time of each run but the first."""
    command = [sys.executable, "-m", "plmscan", *words]
    measured(command, log)
    for _ in range(times):
        yield measured(command, log).seconds
