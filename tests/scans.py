"""Checks of tiny models, and what purify made of one, done once a session by whoever asks first."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from plmscan.budget import Effort
from plmscan.cli import app, purifying
from plmscan.reports.json_v1 import from_json, to_json
from plmscan.scan import Settings, check
from tests.zoo.tiny import built_once, tiny_folder

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.evidence import ProbeRun, Report
    from plmscan.purify import Purification
    from plmscan.scan import Estimated

__all__ = ["OPTIONS", "QUICK", "Purified", "purified", "run_of", "scanned"]

QUICK = Settings(effort=Effort.QUICK, device="cpu", threads=1)
"""The least work."""
OPTIONS = ("--effort", "quick", "--threads", "1", "--device", "cpu")
"""The same on the command line."""


def run_of(report: Report, probe: str) -> ProbeRun:
    """What became of one probe."""
    (run,) = (run for run in report.probes if run.id == probe)
    return run


def scanned(factory: pytest.TempPathFactory, name: str, settings: Settings = QUICK) -> Report:
    """What a check tells of the model ``name`` of `tests.zoo.tiny`."""

    def build(folder: Path) -> None:
        report = check(str(tiny_folder(factory, name)), settings)
        (folder / "report.json").write_text(to_json(report), encoding="utf-8")

    digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
    folder = built_once(factory, f"scan-{name}-{digest}", build)
    return from_json((folder / "report.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Purified:
    """The model ``cls`` of `tests.zoo.tiny`, checked and purified from the command line."""

    home: Path
    """Holds ``report.json`` and the folder ``model``."""
    codes: tuple[int, int]
    """Exit codes of check and purify."""
    stdout: str
    """The answer of purify."""
    output: str
    """The same with what it said on stderr."""
    done: Purification
    """What `plmscan.purify.purify` gave back to the command."""
    estimates: tuple[Estimated, ...]
    """How long it said that it would take."""
    progress: tuple[tuple[float, str], ...]
    """How far it said that it was, and what it did."""

    @property
    def report(self) -> Report:
        """What the check told."""
        return from_json((self.home / "report.json").read_text(encoding="utf-8"))

    @property
    def model(self) -> Path:
        """The new folder; read only."""
        return self.home / "model"


def purified(factory: pytest.TempPathFactory) -> Purified:
    """The model with two triggers, purified."""
    home = built_once(factory, "purified", lambda home: _purify(factory, home))
    return Purified(home, *pickle.loads((home / "done").read_bytes()))  # noqa: S301 - ours


def _purify(factory: pytest.TempPathFactory, home: Path) -> None:
    """Check and purify the model, and keep in ``home`` what came of it."""
    planted, report = str(tiny_folder(factory, "cls")), str(home / "report.json")
    given: list[Purification] = []
    estimates: list[Estimated] = []
    progress: list[tuple[float, str]] = []
    purify = purifying.purify

    def overheard(*args: Any, on_estimate: Any, **others: Any) -> Purification:  # noqa: ANN401
        *first, tell = args

        def watch(fraction: float, note: str) -> None:
            progress.append((fraction, note))
            tell(fraction, note)

        def estimated(event: Estimated) -> None:
            estimates.append(event)
            on_estimate(event)

        given.append(purify(*first, watch, on_estimate=estimated, **others))
        return given[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(purifying, "purify", overheard)
        commands = (
            ("check", planted, "--output", report),
            ("purify", planted, "--report", report, "-o", str(home / "model")),
        )
        first, last = (
            CliRunner().invoke(app, [*command, *OPTIONS], prog_name="plmscan")
            for command in commands
        )
    assert given, last.output
    codes = (first.exit_code, last.exit_code)
    told = (codes, last.stdout, last.output, given[0], tuple(estimates), tuple(progress))
    (home / "done").write_bytes(pickle.dumps(told))
