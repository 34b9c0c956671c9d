"""Seconds and memory of the scheduler, and of a fleet beside a plain check."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from plmscan.cli.fleet.running import Fleet, run
from tests.benchmarks.fleet.stubs import STUBS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


__all__ = ["many", "overhead"]

_MANY = 10_000


def many(folder: Path, count: str = str(_MANY)) -> Iterator[str]:
    """Send many models through the shipped scheduler on a Ray of this machine."""
    listed = folder / "models.txt"
    listed.write_text("".join(f"org/model-{n}\n" for n in range(int(count))), encoding="utf-8")
    began, spent = time.monotonic(), time.process_time()
    run(Fleet(folder / "out", models_file=listed, cached=False), STUBS)
    seconds, cpu = time.monotonic() - began, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield "| models | seconds | of the processor, driver | driver, MB at most | load |"
    yield "|---:|---:|---:|---:|---:|"
    yield f"| {count} | {seconds:.0f} | {cpu:.0f} | {peak:.0f} | {os.getloadavg()[0]:.1f} |"
    began = time.monotonic()
    run(Fleet(folder / "out", models_file=listed, cached=False), STUBS)
    yield f"The same run again: {time.monotonic() - began:.0f} s."


def overhead(folder: Path, count: str = "3", effort: str = "standard") -> Iterator[str]:
    """Check the same models plainly and as a fleet, each search on one thread, one at a time."""
    from tests.zoo import tiny  # noqa: PLC0415 - imports torch

    model = tiny.new_model()
    tiny.save(model, folder / "model-0")
    names = ["model-0"]
    for number in range(1, int(count)):
        shutil.copytree(folder / "model-0", folder / f"model-{number}")
        with (folder / f"model-{number}" / "config.json").open("a") as file:
            file.write("\n" * number)
        names.append(f"model-{number}")
    asked = ["--no-cache", "--threads", "1", "--device", "cpu", "--effort", effort, *names]
    fleet = ["fleet", "--out", "out", "--jobs", "1"]
    yield "| command | seconds |"
    yield "|---|---:|"
    taken = []
    for words in (["check"], fleet):
        began = time.monotonic()
        line = [sys.executable, "-m", "plmscan", *words, "--quiet", *asked]
        subprocess.run(line, cwd=folder, check=False, stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - began)
        yield f"| plmscan {words[0]} | {taken[-1]:.1f} |"
    yield f"The fleet took {taken[1] - taken[0]:.1f} s more, with the start of Ray."
