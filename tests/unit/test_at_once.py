"""How many models are searched at the same time, and what is said about it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.cli.scanning.at_once import sensible
from plmscan.cli.scanning.plan import Job
from plmscan.cli.terminal.progress import watching
from plmscan.memory import memory_of_machine
from plmscan.scan import Settings
from plmscan.scan.events import SideBySide
from plmscan.scan.execution import ModelJob
from plmscan.worker.messages import Measure
from plmscan.worker.server import with_its_share
from tests.artifacts import artifact_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CPU = Settings(device="cpu")


@pytest.fixture
def two_cores() -> Iterator[None]:
    """Two cores for this process, on a machine that has as many."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("there is one core")
    os.sched_setaffinity(0, set(sorted(before)[:2]))
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds processes to cores")
@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    ("asked", "settings", "models", "at_once", "told"),
    [
        (1, CPU, 3, 1, ""),
        (2, CPU, 3, 2, ""),
        (8, CPU, 1, 1, ""),
        (8, Settings(files_only=True), 3, 1, ""),
        (3, CPU, 3, 3, "note: --jobs 3 takes 3 threads, and there are 2 cores: one at a time"),
        (2, Settings(device="cpu", threads=2), 2, 2, "note: --jobs 2 takes 4 threads, and there"),
        (2, Settings(device="cuda"), 2, 1, "note: A GPU is faster with one model at a time, so"),
    ],
)
def test_it_is_said_when_one_at_a_time_is_faster(
    capsys: pytest.CaptureFixture[str],
    asked: int,
    settings: Settings,
    models: int,
    at_once: int,
    told: str,
) -> None:
    """With more threads than cores; on a GPU it is done as well; else nothing is said."""
    jobs = [Job(f"org/{number}", settings) for number in range(models)]
    assert sensible(asked, jobs) == at_once
    said = capsys.readouterr().err
    assert said.startswith(f"plmscan: {told}" if told else "")
    assert len(said.splitlines()) == bool(told)


def test_a_device_that_is_chosen_later_is_looked_for() -> None:
    """One model at a time exactly where torch has a GPU."""
    jobs = [Job("org/a", Settings()), Job("org/b", Settings())]
    assert sensible(2, jobs) == (1 if torch.cuda.is_available() else 2)


@pytest.mark.parametrize(
    ("there", "end"),
    [
        (None, "searched beside 2 other models: about 4.0 GB of memory together\n"),
        (8 * 10**9, "about 4.0 GB of memory together\n"),
        (2 * 10**9, "together, of 2.0 GB here; one at a time (--jobs 1) is faster\n"),
    ],
)
def test_memory_is_told_and_whether_it_is_enough(
    capsys: pytest.CaptureFixture[str], there: int | None, end: str
) -> None:
    """What the searches take together, beside what the machine has if that is less."""
    with watching() as watcher:
        watcher.on_event(SideBySide(2, 4 * 10**9, there))
    assert capsys.readouterr().err.endswith(end)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells it elsewhere")
def test_the_machine_tells_its_memory() -> None:
    """In bytes, more than any scan could do without."""
    assert (memory_of_machine() or 0) > 10**8


@pytest.mark.parametrize(
    ("threads", "sharers", "own"), [(None, 1, 4), (None, 3, 1), (None, 8, 1), (3, 2, 3)]
)
def test_workers_share_the_threads_that_nobody_asked_for(
    tmp_path: Path, threads: int | None, sharers: int, own: int
) -> None:
    """Each has its part of those that torch would take, and one at least."""
    settings = Settings(threads=threads)
    job = ModelJob(artifact_of(tmp_path), None, None, (), (), settings, (), None)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert with_its_share(Measure(job, 1, sharers)).settings.threads == own
    finally:
        torch.set_num_threads(before)
