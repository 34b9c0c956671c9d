"""A purification ends in time: with the best result so far if that passes a scan, or none."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Effort
from plmscan.cli.purifying import told
from plmscan.errors import OutOfTimeError
from plmscan.evidence import Verdict
from plmscan.loading import load
from plmscan.purify import plan, purify
from plmscan.purify.bars import Bar, Behaviour
from plmscan.purify.course import _in_time
from plmscan.purify.training import STEPS
from plmscan.purify.trial import Kept, Trial
from plmscan.scan import Settings
from tests.artifacts import artifact_of
from tests.guarding import report_on, trigger
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from plmscan.evidence import Report
    from plmscan.loading import LoadedModel
    from plmscan.purify import Purification

LIMIT = 1_000_000.0
"""Seconds that nothing takes."""
LEFT = 500.0
"""Seconds that are left for a new scan of a tiny model, which takes a few."""
LIMITED = Settings(effort=Effort.QUICK, device="cpu", threads=1, time_limit=LIMIT)
NO_BAR = Bar({}, (), None)


class Clock:
    """The time, which may be moved on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Show the time as it is."""
        self._real = time.monotonic
        self._ahead = 0.0
        monkeypatch.setattr("time.monotonic", lambda: self._real() + self._ahead)

    def leave(self, seconds: float, limit: float) -> None:
        """Move on until hardly more than ``seconds`` of ``limit`` are left."""
        self._ahead = limit - seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock of this test."""
    return Clock(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with two triggers, which rows alone can forget; read only."""
    return tiny_folder(tmp_path_factory, "cls")


@pytest.fixture(scope="module")
def condemned(folder: Path) -> Report:
    """A report that names both."""
    model = load(artifact_of(folder), "cpu")
    return report_on(folder, *(trigger(one, model.tokenize(one)) for one in ("cf", "mn")))


def cut(
    folder: Path, report: Report, target: Path, clock: Clock, steps: int
) -> tuple[Purification, list[float]]:
    """A purification whose time for training is up after so many steps of it; its progress."""
    fractions: list[float] = []
    trained = 0

    def on_progress(fraction: float, note: str) -> None:
        nonlocal trained
        fractions.append(fraction)
        trained += note == "adversarial training"
        if trained == steps + 1:
            clock.leave(LEFT, LIMIT)

    return purify(str(folder), report, target, LIMITED, on_progress), fractions


@pytest.fixture(autouse=True)
def much_for_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training ends long before the limit, so that no busy machine turns the tests."""
    monkeypatch.setattr(plan, "_SURE", 10_000.0)


def test_what_worked_by_then_is_scanned_and_written(
    folder: Path, condemned: Report, tmp_path: Path, clock: Clock
) -> None:
    """The first leg worked, the second is cut short; the scan has its own time."""
    target = tmp_path / "new"
    done, fractions = cut(folder, condemned, target, clock, STEPS + 3)
    assert (done.verdict, done.ran_out) == (Verdict.PASS, False)
    assert (target / "plmscan-purified.json").exists()
    assert fractions == sorted(fractions)


def test_nothing_is_written_if_nothing_worked_by_then(
    folder: Path, condemned: Report, tmp_path: Path, clock: Clock
) -> None:
    """Inconclusive, in one sentence that says why; not even an unfinished folder is left."""
    target = tmp_path / "new"
    done, _ = cut(folder, condemned, target, clock, 3)
    assert (done.verdict, done.ran_out, done.rounds) == (Verdict.INCONCLUSIVE, True, ())
    assert list(tmp_path.iterdir()) == []
    (line,) = told(done, target)
    assert line.startswith("INCONCLUSIVE: nothing was written, since the time limit ran out before")


def test_a_limit_for_less_than_a_scan_is_refused(
    folder: Path, condemned: Report, tmp_path: Path
) -> None:
    """At once, and nothing is written."""
    with pytest.raises(OutOfTimeError, match="new scan of a result alone"):
        purify(str(folder), condemned, tmp_path / "new", replace(LIMITED, time_limit=1.0))
    assert list(tmp_path.iterdir()) == []


def trial(reach: float) -> Trial:
    """A trial of one trigger of which so much is left."""
    left = Behaviour(1.0, 1.0, 0.0, None, None, reach, reach)
    return Trial((left,), (), NO_BAR, NO_BAR, Kept(1.0, None))


@pytest.mark.parametrize(
    ("reaches", "kept"), [([2.0, 0.5], True), ([2.0, 3.0], False), ([], False)]
)
def test_only_what_worked_outlives_the_deadline(
    planted: LoadedModel, reaches: list[float], *, kept: bool
) -> None:
    """Legs that did not would only be scanned in vain."""

    def legs() -> Iterator[tuple[LoadedModel, Trial]]:
        yield from ((planted, trial(reach)) for reach in reaches)
        msg = "The time limit ran out."
        raise OutOfTimeError(msg, "")

    if kept:
        assert len(list(_in_time(legs()))) == len(reaches)
    else:
        with pytest.raises(OutOfTimeError):
            list(_in_time(legs()))
