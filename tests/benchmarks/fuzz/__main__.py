"""Mutated files over all probes of files: tracebacks, hangs, imports.

    python -m tests.benchmarks.fuzz --files 10000 --seed 0

Each file is put into a small model, which is resolved and read by every probe as a check does.
Counted are errors that no sentence of ours explains, probes that take longer than their bound,
and attempts to import or to run what a file names.  Prints a table, and asserts nothing.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.errors import PlmscanError
from plmscan.probes import static_ids, static_probe
from plmscan.scan.isolation import run_probe
from plmscan.source import SourceOptions, resolve
from tests.benchmarks.fuzz.mutate import mutated
from tests.benchmarks.fuzz.seeds import BESIDE, CANARY, SEEDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.source import Artifact

_BOUND = 10.0
"""Seconds that a probe may take for such small files."""
_WHOLE = ("config.json", "model.safetensors", "tokenizer.json")
_ACTIONS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")


class _HangError(Exception):
    """A probe did not end in time."""


@dataclass
class _Tally:
    """What was seen of the mutants of one file."""

    files: int = 0
    refused: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    hangs: int = 0
    slowest: float = 0.0


def _watch(caught: list[str]) -> None:
    """Note every attempt to import the canary or to start something."""

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "import" and str(args[0]).startswith(CANARY):
            caught.append(f"import {args[0]}")
        elif event.startswith(_ACTIONS):
            caught.append(event)

    sys.addaudithook(hook)


def _alarm(_number: int, _frame: object) -> None:
    """The time is up."""
    raise _HangError


def _resolved(root: Path, tally: _Tally) -> Artifact | None:
    """The files of the model; None if they are refused with a sentence."""
    try:
        return resolve(str(root), SourceOptions())
    except PlmscanError:
        tally.refused += 1
    except _HangError:
        raise
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        tally.broken[f"resolve: {type(error).__name__}: {error}"[:100]] += 1
    return None


def _read(artifact: Artifact, tally: _Tally) -> None:
    """Every probe of files, each under its bound."""
    for probe_id in static_ids():
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, _BOUND)
        try:
            run = run_probe(probe_id, static_probe, lambda probe: probe.inspect(artifact))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        tally.slowest = max(tally.slowest, time.perf_counter() - began)
        if _HangError.__name__ in run.reason:
            tally.hangs += 1
        elif run.reason.startswith("It broke with"):
            tally.broken[f"{probe_id}: {run.reason}"[:140]] += 1


def _models(files: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Names and mutated contents, every seed as often as the others."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    contents = list(SEEDS.values())
    for number in range(files):
        name = list(SEEDS)[number % len(SEEDS)]
        yield name, mutated(SEEDS[name], contents, dice)


def _write(root: Path, files: dict[str, bytes]) -> None:
    """The files of one model, and no others."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.benchmarks.fuzz")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, _alarm)
    for probe_id in static_ids():
        static_probe(probe_id)
    caught: list[str] = []
    _watch(caught)
    tallies: dict[str, _Tally] = {name: _Tally() for name in SEEDS}
    began = time.perf_counter()
    for name, data in _models(asked.files, asked.seed):
        with tempfile.TemporaryDirectory() as folder:
            whole = {n: SEEDS[n] for n in _WHOLE} | BESIDE.get(name, {})
            _write(Path(folder), whole | {name: data})
            tally = tallies[name]
            tally.files += 1
            artifact = _resolved(Path(folder), tally)
            if artifact is not None:
                _read(artifact, tally)
    _tell(tallies, caught, time.perf_counter() - began)


def _tell(tallies: dict[str, _Tally], caught: list[str], seconds: float) -> None:
    """The table, and each kind of error once."""
    print("| file | mutants | refused at once | tracebacks | hangs | slowest probe s |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, one in tallies.items():
        broken = sum(one.broken.values())
        cells = (name, one.files, one.refused, broken, one.hangs, f"{one.slowest:.2f}")
        print("| " + " | ".join(map(str, cells)) + " |")
    total = sum(one.files for one in tallies.values())
    print(f"\n{total} files in {seconds:.0f} s; imports and commands: {Counter(caught) or 0}")
    for reason, count in sum((one.broken for one in tallies.values()), Counter()).most_common(30):
        print(f"{count:5} {reason}")


if __name__ == "__main__":
    main()
