"""``plmscan check`` in a process of its own, measured, kept, and not repeated without need.

A folder of runs holds, for each model, the report, what plmscan told on stderr, and a record.  A
record counts as long as its fingerprint does: the source and the rules of plmscan, the files of
the model, and the settings.  Verdicts are compared with the truth later, so a change of the
manifest alone repeats nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import plmscan
from plmscan.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

__all__ = [
    "ARITHMETICS",
    "HELD_TO_AVX2",
    "Arithmetic",
    "Bench",
    "Record",
    "Usage",
    "fingerprint",
    "measured",
    "source_digest",
    "store",
    "torch_megabytes",
]

_ROOT = Path(__file__).parents[2]
_INTERRUPTED = {130, -signal.SIGINT, -signal.SIGTERM}
"""Exit codes of a check that somebody stopped: it says nothing about the model."""
_SOURCE = ("*.py", "*.txt")

HELD_TO_AVX2: Mapping[str, str] = MappingProxyType(
    {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
)
"""Environment of a process that is to do without AVX-512, AMX and instructions for bfloat16."""


@dataclass(frozen=True)
class Arithmetic:
    """How a check multiplies."""

    precision: str
    """``--precision`` of the check."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its process finds in its environment, besides."""


ARITHMETICS: Mapping[str, Arithmetic] = MappingProxyType(
    {
        "auto": Arithmetic("auto"),
        "float32": Arithmetic("float32"),
        "bfloat16": Arithmetic("bfloat16"),
        "avx2": Arithmetic("float32", HELD_TO_AVX2),
    }
)
"""By name; ``avx2`` stands for a processor without anything newer."""


@dataclass(frozen=True)
class Usage:
    """What a process took."""

    exit_code: int
    """Negative: the signal that ended it."""
    seconds: float
    """Wall-clock time from start to end."""
    megabytes: float
    """Peak resident memory."""


@dataclass(frozen=True)
class Record:
    """One check."""

    fingerprint: str
    """Of everything that the answer depends on."""
    exit_code: int
    """0 pass, 1 fail, 2 inconclusive or error; negative for a signal."""
    seconds: float
    """Wall-clock time of the whole process."""
    megabytes: float
    """Peak resident memory above an interpreter with torch imported."""


@dataclass(frozen=True)
class Bench:
    """Where checks are kept, and with which settings they run."""

    folder: Path
    """Holds one folder a model."""
    effort: str
    """``--effort`` of the check."""
    texts: Path | None
    """``--texts`` of the check; None for plmscan's own."""
    source: str
    """Digest of plmscan."""
    arithmetic: str = "auto"
    """How the check multiplies: a name in `ARITHMETICS`."""

    def report(self, name: str) -> Path:
        """The report of a model; absent if the check broke."""
        return self.folder / name / "report.json"

    def log(self, name: str) -> Path:
        """What plmscan told on stderr."""
        return self.folder / name / "stderr.log"

    def _record(self, name: str) -> Path:
        """The record of a model."""
        return self.folder / name / "record.json"

    def known(self, name: str, model: Path) -> Record | None:
        """The record of an earlier check that still counts; None if there is none."""
        try:
            stored = json.loads(self._record(name).read_text(encoding="utf-8"))
            record = Record(**stored)
        except (OSError, ValueError, TypeError):
            return None
        current = record.fingerprint == self.fingerprint(model)
        return record if current and record.exit_code not in _INTERRUPTED else None

    def check(self, name: str, model: Path, baseline: float) -> Record:
        """Check ``model`` now; ``baseline`` megabytes are not its own."""
        current = self.fingerprint(model)
        self.report(name).parent.mkdir(parents=True, exist_ok=True)
        for stale in (self._record(name), self.report(name)):
            stale.unlink(missing_ok=True)
        environment = ARITHMETICS[self.arithmetic].environment
        usage = measured(self._command(name, model), self.log(name), environment)
        record = Record(current, usage.exit_code, usage.seconds, usage.megabytes - baseline)
        store(record, self._record(name))
        return record

    def fingerprint(self, model: Path) -> str:
        """Digest of all that the answer about ``model`` depends on."""
        return fingerprint(model, self.texts, self.source, self.effort, self.arithmetic)

    def _command(self, name: str, model: Path) -> list[str]:
        """The check as a command line; an absolute path is never taken for a Hub repository."""
        command = [sys.executable, "-m", "plmscan", "check", str(model.resolve())]
        command += ["--effort", self.effort, "--format", "json", "--output", str(self.report(name))]
        command += ["--precision", ARITHMETICS[self.arithmetic].precision]
        command += _base(model)
        return command + (["--texts", str(self.texts.resolve())] if self.texts else [])


def _base(model: Path) -> list[str]:
    """The option that names the base of an adapter, which lies where it was trained."""
    settings = model / "adapter_config.json"
    if not settings.exists():
        return []
    told = json.loads(settings.read_text(encoding="utf-8"))
    return ["--base", str(told["base_model_name_or_path"])]


def fingerprint(model: Path, texts: Path | None, *settings: str | int | None) -> str:
    """Digest of settings, of the texts, and of the names, sizes and times of the model's files."""
    read = texts and hashlib.sha256(texts.read_bytes()).hexdigest()
    known = json.dumps([*settings, read, _files(model)])
    return hashlib.sha256(known.encode()).hexdigest()


def store(record: DataclassInstance, target: Path) -> None:
    """Write a record, whole or not at all."""
    unfinished = target.with_suffix(".part")
    unfinished.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(target)


def _files(model: Path) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change of every file of ``model``, sorted."""
    found = sorted(path for path in model.rglob("*") if path.is_file())
    stats = ((path, path.stat()) for path in found)
    return [(path.relative_to(model).as_posix(), s.st_size, s.st_mtime_ns) for path, s in stats]


def source_digest() -> str:
    """Digest of the plmscan that runs: its source, its texts and its rules."""
    home = Path(plmscan.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCE for path in home.rglob(pattern)):
        digest.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    for rule in load_rules():
        digest.update(rule.model_dump_json().encode())
    return digest.hexdigest()


def measured(
    command: list[str], log: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> Usage:
    """Run ``command`` in the repository, its stderr to ``log``, with more in its environment.

    Peak memory is that of the process or of its largest child, as the kernel keeps it.  It is
    never below that of the parent, which is why this side of the benchmark does without torch.
    """
    started = time.perf_counter()
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            command,
            cwd=_ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Usage(child.returncode, time.perf_counter() - started, usage.ru_maxrss / 1024)


def torch_megabytes() -> float:
    """Peak resident megabytes of an interpreter that imports torch and does nothing."""
    return measured([sys.executable, "-c", "import torch"], Path(os.devnull)).megabytes
