"""Measuring, part by part, in processes of their own; what is done is kept at once."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from plmscan.reports.json_v1 import from_json
from tests.benchmarks.mitigation.results import keep, kept
from tests.benchmarks.runs import HELD_TO_AVX2, measured
from tests.benchmarks.speed.hashing import hashed
from tests.benchmarks.speed.heard import Heard
from tests.benchmarks.speed.results import (
    Axis,
    Checked,
    Measured,
    Piece,
    Point,
    Scaling,
    Stage,
    Task,
)
from tests.benchmarks.speed.scaling import CUDA_ROWS, tasks
from tests.benchmarks.speed.shapes import weight_files
from tests.benchmarks.speed.stages import stages
from tests.benchmarks.speed.starting import started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.benchmarks.runs import Usage
    from tests.benchmarks.speed.results import Hashed, Started
    from tests.benchmarks.speed.stages import Mark

__all__ = ["HELD_DOWN", "Bench", "Place", "model_of", "why_no_gpu"]

_ROOT = Path(__file__).parents[3]
_HERE = "tests.benchmarks.speed"
_BEGIN, _END = "process started", "process ended"
HELD_DOWN = "avx2"
"""A processor that is to do without what is newer: AVX-512, and instructions for bfloat16."""
_ASK = "import torch; print(torch.version.cuda or '', torch.cuda.is_available())"


@dataclass(frozen=True)
class Place:
    """One model on one device."""

    name: str
    """Of the shape."""
    model: Path
    """Folder."""
    device: str
    """``cpu``, ``avx2`` for a processor that is held down to that, or ``cuda``."""

    @property
    def runs_on(self) -> str:
        """The device as plmscan calls it."""
        return "cpu" if self.device == HELD_DOWN else self.device

    @property
    def precision(self) -> str:
        """What plmscan is asked for."""
        return "float32" if self.device == HELD_DOWN else "auto"

    @property
    def environment(self) -> Mapping[str, str]:
        """What holds the libraries down: torch, oneDNN and MKL each have a switch of their own."""
        return HELD_TO_AVX2 if self.device == HELD_DOWN else {}


@dataclass(frozen=True)
class Bench:
    """Runs what is to be measured."""

    out: Path
    """Where results and logs are kept."""
    source: str
    """Digest of plmscan."""
    baseline: float
    """Megabytes of an interpreter that imported torch."""
    say: Callable[[str], None]
    """Told of each part that is done."""

    def measure(self, place: Place, no_gpu: str = "") -> Measured:
        """All of one model; ``no_gpu`` says why there is nothing of a GPU."""
        found = Measured(
            name=place.name,
            device=place.device,
            source=self.source,
            weights=sum(weight_files(place.model).values()),
            no_gpu=no_gpu,
        )
        parts: dict[str, Callable[[Place], object]] = {
            "sweeps": self._sweeps,
            "checked": self.checked,
            "started": self._started,
            "hashed": self._hashed,
        }
        for name, part in parts.items():
            found = found.model_copy(update={name: part(place)})
            keep(found, self.out / f"{place.name}-{place.device}.json")
            self.say(f"{place.name} on {place.device}: {name}")
        return found

    def scale(self, place: Place) -> Scaling:
        """How cost grows, axis by axis."""
        plain = Task(model=place.model, device=place.runs_on, with_product=False)
        known = self._piece(place, plain)
        asked = tasks(place.model, place.runs_on, known.layers, known.threads)
        points: list[Point] = []
        for axis, task in asked:
            points.append(_point(axis, task, self._piece(place, task)))
            found = Scaling(
                name=place.name, device=place.device, source=self.source, points=tuple(points)
            )
            keep(found, self.out / f"scaling-{place.device}.json")
            self.say(f"{place.name} on {place.device}: {points[-1].value} {axis}")
        return found

    def run(self, task: Task, environment: Mapping[str, str] = MappingProxyType({})) -> Piece:
        """One piece of work in a process of its own.

        Raises:
            SystemExit: it broke.
        """
        answer = self.out / "piece.json"
        answer.unlink(missing_ok=True)
        words = [f"{_HERE}.child", task.model_dump_json(), str(answer.resolve())]
        usage = self._python(words, "piece", environment)
        found = kept(Piece, answer)
        if found is None:
            msg = f"A piece of work ended with {usage.exit_code}: see {self._log('piece')}."
            raise SystemExit(msg)
        clean = None if task.with_product else usage.megabytes - self.baseline
        return found.model_copy(update={"megabytes": clean})

    def checked(self, place: Place) -> Checked:
        """The command line, start to end."""
        report, ear = self.out / "report.json", self.out / "heard.json"
        for stale in (report, ear):
            stale.unlink(missing_ok=True)
        words = [f"{_HERE}.heard", str(ear.resolve()), "check", str(place.model.resolve())]
        words += ["--no-cache", "--device", place.runs_on, "--precision", place.precision]
        words += ["--format", "json", "--output", str(report.resolve())]
        began = time.monotonic()
        usage = self._python(words, "check", place.environment)
        found = from_json(report.read_bytes()) if report.exists() else None
        heard = kept(Heard, ear) or Heard(marks=[])
        tokens = {} if found is None else {run.id: run.forward_tokens for run in found.probes}
        return Checked(
            exit_code=usage.exit_code,
            seconds=usage.seconds,
            megabytes=usage.megabytes - self.baseline,
            device_megabytes=heard.device_megabytes,
            verdict="" if found is None else found.verdict.name.lower(),
            tokens=sum(tokens.values()),
            stages=tuple(_whole(heard.marks, tokens, began, began + usage.seconds)),
        )

    def _piece(self, place: Place, task: Task) -> Piece:
        """One piece of work as ``place`` has it done."""
        asked = task.model_copy(update={"precision": place.precision})
        return self.run(asked, place.environment)

    def _sweeps(self, place: Place) -> tuple[Piece, ...]:
        """The sweep; on a GPU with several numbers of rows."""
        rows = CUDA_ROWS if place.device == "cuda" else (None,)
        base = Task(model=place.model, device=place.runs_on)
        return tuple(self._piece(place, base.model_copy(update={"rows": n})) for n in rows)

    def _started(self, place: Place) -> tuple[Started, ...]:
        """Commands that measure nothing."""
        return started(place.model, self.out)

    def _hashed(self, place: Place) -> Hashed:
        """The weights as bytes."""
        return hashed(place.model)

    def _python(self, words: list[str], name: str, environment: Mapping[str, str]) -> Usage:
        """Run a module of ours."""
        return measured([sys.executable, "-m", *words], self._log(name), environment)

    def _log(self, name: str) -> Path:
        """What a process told on stderr."""
        return self.out / f"{name}.log"


def _point(axis: Axis, task: Task, found: Piece) -> Point:
    """One point of an axis."""
    values = {
        Axis.VOCABULARY: found.items,
        Axis.LAYERS: found.layers,
        Axis.ROWS: found.rows,
        Axis.THREADS: found.threads,
        Axis.CARRIERS: task.carriers or 0,
    }
    return Point(axis=axis, value=values[axis], piece=found)


def _whole(
    marks: Sequence[Mark], tokens: Mapping[str, int], began: float, ended: float
) -> Iterator[Stage]:
    """Stages of a process from start to end; none of one in which nothing was heard."""
    if marks:
        yield Stage(name=_BEGIN, seconds=marks[0].seconds - began)
        yield from stages(marks, tokens)
        yield Stage(name=_END, seconds=ended - marks[-1].seconds)


def model_of(name: str, out: Path) -> Path:
    """The folder of a shape, which is written where it is not there yet."""
    words = [f"{_HERE}.shapes", name, str((out / "models" / name).resolve())]
    return Path(_told(["-m", *words]).splitlines()[-1])


def why_no_gpu() -> str:
    """Why nothing can run on a GPU; empty where one is there."""
    *built, there = _told(["-c", _ASK]).split()
    if there == "True":
        return ""
    return "torch sees no GPU" if built else "this torch was built without CUDA"


def _told(words: list[str]) -> str:
    """What a Python of its own prints."""
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout
