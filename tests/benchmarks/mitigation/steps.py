"""``plmscan check`` and ``plmscan purify`` on a model of the zoo, each in a process of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.mitigation.results import Purified, keep, kept
from tests.benchmarks.outcomes import outcome, read_report
from tests.benchmarks.runs import Record, fingerprint, measured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from plmscan.evidence import Report
    from tests.benchmarks.runs import Usage
    from tests.benchmarks.scoring import Recovery
    from tests.zoo.manifest import Entry

__all__ = ["Bench", "Known", "run_logged"]

_INTERRUPTED = {130, -2, -15}
"""Exit codes of a run that somebody stopped: it says nothing about the model."""
_WEIGHTS = ("*.safetensors", "*.bin")
_PROVENANCE = "plmscan-purified.json"
_VERDICTS = {0: "purified", 1: "fail"}
_CLEAN = {
    ("encoder", "minilm"): "clean-base",
    ("masked-lm", "minilm-mlm"): ".cache/minilm-mlm",
    ("classifier", "minilm"): ".cache/minilm-sst2",
    ("classifier", "minilm-sst2"): ".cache/minilm-sst2",
}
"""Where a zoo keeps the clean twin of a model, by what it is for and what it was made from."""


@dataclass(frozen=True)
class Known:
    """What the report of a model says."""

    names_triggers: bool
    """Whether there is something to purify."""
    recovered: Mapping[str, Recovery]
    """How much it names of each planted trigger that has tokens."""


@dataclass(frozen=True)
class Bench:
    """Where results are kept, and with which settings plmscan runs."""

    zoo: Path
    """Holds the models."""
    effort: str | None
    """``--effort`` of plmscan; None for its own."""
    texts: Path | None
    """``--texts`` of plmscan; None for its own."""
    source: str
    """Digest of plmscan."""

    def home(self, name: str) -> Path:
        """The folder of a model's results."""
        return self.zoo / "benchmark" / "mitigation" / name

    def model(self, name: str) -> Path:
        """The folder of a model; an absolute path is never taken for a Hub repository."""
        return (self.zoo / name).resolve()

    def clean(self, entry: Entry) -> Path | None:
        """The folder of a model's clean twin; None if the zoo has none."""
        name = _CLEAN.get((entry.task, str(entry.settings.get("base"))))
        folder = self.zoo / (name or "")
        return folder.resolve() if name and folder.is_dir() else None

    def report(self, name: str) -> Path:
        """The report of a check; absent if the check broke."""
        return self.home(name) / "report.json"

    def written(self, name: str) -> Path:
        """The folder of the purified model; absent if none was written."""
        return self.home(name) / "purified"

    def known(self, entry: Entry) -> Known:
        """What the report says, by the detection benchmark's scoring; checks the model first."""
        file, model = self.report(entry.name), self.model(entry.name)
        report = read_report(file)
        if report is None or not _is_about(report, model):
            self._check(entry.name)
            report = read_report(file)
        if report is None:
            return Known(names_triggers=False, recovered={})
        found = outcome(entry, model, Record("", 0, 0.0, 0.0), file).found
        return Known(bool(report.triggers), {o.text: o.recovery for o in found if o.recovery})

    def _check(self, name: str) -> None:
        """Write the report of a model."""
        self.home(name).mkdir(parents=True, exist_ok=True)
        self.report(name).unlink(missing_ok=True)
        told = ("--no-cache", "--report", f"json={self.report(name).resolve()}")
        run_logged(self._command("check", name, *told), self.home(name) / "check")

    def purified(self, name: str) -> Purified:
        """The run of purify that counts, done now if there is none."""
        earlier = self.earlier(name)
        return self._purify(name) if earlier is None else earlier

    def earlier(self, name: str) -> Purified | None:
        """A run of purify with this plmscan, model, report and settings; None if there is none."""
        found = kept(Purified, self._record(name))
        if found is None or found.exit_code in _INTERRUPTED:
            return None
        is_there = found.verdict != "purified" or self.written(name).is_dir()
        return found if is_there and found.fingerprint == self.fingerprint(name) else None

    def fingerprint(self, name: str) -> str:
        """Digest of all that depends on plmscan, the model, and its report."""
        report = hashlib.sha256(self.report(name).read_bytes()).hexdigest()
        return fingerprint(self.model(name), self.texts, self.source, self.effort, report)

    def _record(self, name: str) -> Path:
        """The record of a run of purify."""
        return self.home(name) / "record.json"

    def _purify(self, name: str) -> Purified:
        """Purify a model now."""
        current, target = self.fingerprint(name), self.written(name)
        self._record(name).unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        told = ("--report", str(self.report(name).resolve()), "-o", str(target.resolve()))
        log = self.home(name) / "purify"
        usage = run_logged(self._command("purify", name, *told), log)
        record = Purified(
            fingerprint=current,
            exit_code=usage.exit_code,
            verdict=_verdict(usage, log.with_suffix(".out")),
            seconds=usage.seconds,
            megabytes=usage.megabytes,
            **_told(target / _PROVENANCE),
        )
        keep(record, self._record(name))
        return record

    def _command(self, command: str, name: str, *told: str) -> list[str]:
        """A command about a model, with the settings."""
        line = [sys.executable, "-m", "plmscan", command, str(self.model(name)), *told]
        line += ["--effort", self.effort] if self.effort else []
        return line + (["--texts", str(self.texts.resolve())] if self.texts else [])


def run_logged(command: list[str], log: Path) -> Usage:
    """Run ``command``, measured, its stdout to ``log.out`` and its stderr to ``log.err``."""
    # The shell becomes the command, so what is measured is the command.
    shell = ["sh", "-c", 'exec "$@" > "$0"', str(log.with_suffix(".out").resolve())]
    return measured([*shell, *command], log.with_suffix(".err"))


def _is_about(report: Report, model: Path) -> bool:
    """Whether the weights of ``model`` are those of the report."""
    told = {file.path: file.sha256 for file in report.model.files}
    weights = [file for pattern in _WEIGHTS for file in model.glob(pattern)]
    return bool(weights) and all(told.get(file.name) == _sha256(file) for file in weights)


def _sha256(file: Path) -> str:
    """Digest of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _verdict(usage: Usage, stdout: Path) -> str:
    """How purify ended; an inconclusive scan and an error have one exit code."""
    lines = stdout.read_text(encoding="utf-8").splitlines()
    inconclusive = any(line.startswith("INCONCLUSIVE") for line in lines)
    return _VERDICTS.get(usage.exit_code, "inconclusive" if inconclusive else "error")


def _told(file: Path) -> dict[str, Any]:
    """What a purified model says of itself; nothing if it is not there."""
    if not file.exists():
        return {}
    told = json.loads(file.read_text(encoding="utf-8"))
    rounds = told["rounds"]
    return {
        "methods": tuple(one["method"] for one in rounds),
        "forgotten": tuple(rounds[-1]["triggers"]),
        "tensors": len(told["changed"]),
        "cosine": rounds[-1]["after"].get("clean", {}).get("cosine"),
    }
