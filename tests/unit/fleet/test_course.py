"""The course of a fleet, on a cluster in this process, with real scans of the files."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plmscan.evidence import Report
from plmscan.fleet.answers import read_answer
from plmscan.fleet.course import Course, Limits, ended_by
from plmscan.fleet.hosts import Hosts
from plmscan.fleet.ledger import opened
from plmscan.fleet.tasks import STAGES, Busy, Ended, fetch
from plmscan.probes import related_ids
from plmscan.scan import Done, Settings, check, scan_events
from tests.adapters import adapter_of
from tests.fleeting import FILES_ONLY, Inline, asked_about, with_losses
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.fleet.ledger import Row
    from plmscan.fleet.questions import Question
    from plmscan.fleet.tasks import Answered, Asked, Fetched, Stages
    from plmscan.scan import Cache

DIED = Ended("its worker died", by_model=True)
GONE = Ended("its machine is gone", by_model=False)


@dataclass
class Kept:
    """A cache of verdicts in memory."""

    reports: dict[str, Report] = field(default_factory=dict)
    """By key."""

    def get(self, key: str) -> Report | None:
        """What is kept."""
        return self.reports.get(key)

    def put(self, key: str, report: Report) -> None:
        """Keep it."""
        self.reports[key] = report


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Row]]:
    """Answers questions in one folder; the rows of the index by name."""

    def answer(
        asked: tuple[Question, ...],
        cluster: Inline | None = None,
        stages: Stages = STAGES,
        cache: Cache | None = None,
    ) -> dict[str, Row]:
        with opened(tmp_path / "out") as ledger:
            todo = ledger.enrol(asked)
            limits = Limits(str(Path.cwd()), cache)
            Course(todo, ledger, cluster or Inline(), limits, stages).run(lambda: None)
            return {row.name: row for row in ledger.rows()}

    return answer


def report_in(tmp_path: Path, row: Row) -> Report:
    """The report of a row."""
    assert row.report is not None
    _, entry = read_answer((tmp_path / "out" / row.report).read_bytes())
    assert isinstance(entry.outcome, Report)
    return entry.outcome


def timeless(report: Report) -> Report:
    """The report without what a clock wrote, and without the bounds of a worker."""
    probes = tuple(replace(run, seconds=0.0) for run in report.probes)
    bounds = ("file_probe_seconds", "file_probe_bytes", "model_bytes", "network")
    settings = {name: told for name, told in report.settings.items() if name not in bounds}
    return replace(report, probes=probes, settings=settings)


def test_an_answer_is_the_report_of_a_check(
    model: Path, run: Callable[..., dict[str, Row]], tmp_path: Path
) -> None:
    """Three steps as tasks of their own measure what one check measures, to the last digit."""
    rows = run(asked_about(model))
    alone = check(str(model), FILES_ONLY)
    assert timeless(report_in(tmp_path, rows[str(model)])) == timeless(alone)
    assert rows[str(model)].verdict == alone.verdict.name.lower()


def test_a_verdict_of_a_check_is_taken_and_one_of_a_fleet_is_kept(
    model: Path, run: Callable[..., dict[str, Row]], tmp_path: Path
) -> None:
    """Both ask under the same key, so that nothing is measured again that is known."""
    kept = Kept()
    done = [e for e in scan_events(str(model), FILES_ONLY, cache=kept) if isinstance(e, Done)]
    rows = run(asked_about(model), cache=kept)
    assert report_in(tmp_path, rows[str(model)]) == done[0].report
    assert len(kept.reports) == 1
    other = replace(FILES_ONLY, seed=1)
    run(asked_about(model, settings=other), cache=kept)
    assert len(kept.reports) == 2
    again = [e for e in scan_events(str(model), other, cache=kept) if isinstance(e, Done)]
    assert again[0].cached


def test_the_same_files_are_scanned_once(
    model: Path, run: Callable[..., dict[str, Row]], tmp_path: Path
) -> None:
    """The other model has a report of its own, under its own name; a changed one is scanned."""
    twin = Path(shutil.copytree(model, tmp_path / "twin"))
    changed = Path(shutil.copytree(model, tmp_path / "changed"))
    (changed / "config.json").write_text((model / "config.json").read_text() + "\n")
    cluster = Inline()
    rows = run(asked_about(model, twin, changed), cluster)
    assert rows[str(twin)].same_as == str(model)
    assert sum(name.startswith("examine") for name in cluster.names) == 2
    own, others = report_in(tmp_path, rows[str(twin)]), report_in(tmp_path, rows[str(model)])
    assert own == replace(others, model=replace(others.model, id=str(twin)))


def test_the_same_run_again_does_nothing(model: Path, run: Callable[..., dict[str, Row]]) -> None:
    """No task is handed out, and the answer stays as it was written; another question is asked."""
    first = run(asked_about(model))
    cluster = Inline()
    assert run(asked_about(model), cluster) == first
    assert not cluster.names
    other = asked_about(model, settings=replace(FILES_ONLY, seed=1))
    assert run(other, cluster)[str(model)].question != first[str(model)].question
    assert cluster.names


def test_three_lost_workers_are_an_answer(model: Path, run: Callable[..., dict[str, Row]]) -> None:
    """It is inconclusive for that reason, and nobody tries a fourth time."""
    cluster = Inline()
    stages = replace(STAGES, examine=with_losses(DIED, DIED, DIED))
    (row,) = run(asked_about(model), cluster, stages).values()
    assert row.verdict == "inconclusive"
    assert row.reason is not None
    assert row.reason.startswith("It lost its worker 3 times: its worker died.")
    assert sum(name.startswith("examine") for name in cluster.names) == 3


def test_a_lost_machine_is_nobodys_fault(model: Path, run: Callable[..., dict[str, Row]]) -> None:
    """What ran on it runs again, however often, and is answered as if nothing had happened."""
    stages = replace(STAGES, examine=with_losses(GONE, GONE, DIED, GONE, DIED, GONE))
    (row,) = run(asked_about(model), None, stages).values()
    assert row.verdict == "pass"


def test_a_host_that_is_busy_is_asked_later(
    model: Path, run: Callable[..., dict[str, Row]]
) -> None:
    """When it says so, and the model is answered all the same."""
    asked: list[str] = []

    def busy(one: Asked) -> Fetched | Answered | Busy:
        asked.append(one.question.name)
        found = fetch(one)
        if len(asked) > 2:
            return found
        refused = fetch(replace(one, question=asked_about("./nowhere")[0]))
        assert not isinstance(refused, Busy)
        return Busy(0.05, refused)  # type: ignore[arg-type] # there is no such folder

    (row,) = run(asked_about(model), None, replace(STAGES, fetch=busy)).values()
    assert row.verdict == "pass"
    assert len(asked) == 3


def test_a_host_rests_as_long_as_it_asks() -> None:
    """For everybody; where it does not say, longer each time, and no more than four at a time."""
    now = [0.0]
    hosts = Hosts(lambda: now[0])
    hosts.rest("hub", 30.0, 1)
    assert (hosts.is_open("hub"), hosts.is_open("other")) == (False, True)
    now[0] = 30.0
    assert hosts.is_open("hub")
    hosts.rest("hub", None, 3)
    now[0] = 45.9
    assert hosts.resting == ("hub",)
    now[0] = 46.0
    for _ in range(4):
        assert hosts.is_open("hub")
        hosts.begin("hub")
    assert not hosts.is_open("hub")
    hosts.end("hub")
    assert hosts.is_open("hub")


def test_a_model_that_no_machine_can_hold_is_inconclusive(
    model: Path, run: Callable[..., dict[str, Row]], tmp_path: Path
) -> None:
    """Its files are checked, and the reason names what it takes and what there is."""
    asked = asked_about(model, settings=Settings(device="cpu", threads=1))
    (row,) = run(asked, Inline(memory=10**8)).values()
    assert row.verdict == "inconclusive"
    assert row.reason is not None
    assert "and the largest machine of the cluster has 0.1 GB." in row.reason
    assert report_in(tmp_path, row).model.files


def test_what_is_not_there_is_an_answer(run: Callable[..., dict[str, Row]]) -> None:
    """A folder that nobody finds is inconclusive, with the sentence of a check."""
    (row,) = run(asked_about("./nowhere")).values()
    assert (row.verdict, row.reason) == (
        "inconclusive",
        "There is no folder './nowhere'. Check the path; a Hub model is written org/name.",
    )


def test_adapters_are_checked_on_their_base(
    model: Path, run: Callable[..., dict[str, Row]], tmp_path: Path
) -> None:
    """The base and each adapter are checked as well, to the last digit as by a check."""
    adapters = [adapter_of(model, tmp_path / kind, kind) for kind in ("lora", "ia3")]
    settings = replace(FILES_ONLY, base=str(model), adapter=(str(adapters[1]),))
    rows = run(asked_about(adapters[0], settings=settings))
    alone = check(str(adapters[0]), settings)
    told = report_in(tmp_path, rows[str(adapters[0])])
    assert timeless(told) == timeless(alone)
    assert told.model.base is not None
    assert set(related_ids()) <= {run.id for run in told.probes}


def test_the_first_model_that_does_not_pass_ends_a_fleet(
    run: Callable[..., dict[str, Row]], tmp_path: Path
) -> None:
    """With --fail-fast nothing more is begun, what runs is answered, and so it is the next time."""
    names = [f"./nowhere/{number}" for number in range(12)]
    asked = asked_about(*names, settings=replace(FILES_ONLY, fail_fast=True))
    cluster = Inline()
    rows = run(asked, cluster)
    answered = [name for name, row in rows.items() if row.verdict is not None]
    assert 1 <= len(answered) == len(cluster.names) < len(names)
    with opened(tmp_path / "out") as ledger:
        assert ended_by(asked, ledger) == answered[0]
        patient = asked_about(*names)
        assert ended_by(patient, ledger) is None


def test_a_report_that_the_index_does_not_know_is_taken_in(
    model: Path, run: Callable[..., dict[str, Row]], tmp_path: Path
) -> None:
    """Whoever was killed between the report and the index has lost nothing."""
    run(asked_about(model))
    (tmp_path / "out" / "fleet.sqlite").unlink()
    cluster = Inline()
    (row,) = run(asked_about(model), cluster).values()
    assert row.verdict == "pass"
    assert not cluster.names


def test_a_report_that_the_index_expects_is_taken_in_with_what_it_took(
    model: Path, run: Callable[..., dict[str, Row]], tmp_path: Path
) -> None:
    """A copy whose answer was being written when the run was killed is still told as a copy."""
    twin = shutil.copytree(model, tmp_path / "twin")
    before = run(asked_about(model, twin))
    with closing(sqlite3.connect(tmp_path / "out" / "fleet.sqlite")) as index, index:
        index.execute("UPDATE models SET stage = 'twin', verdict = NULL, report = NULL")
    cluster = Inline()
    after = run(asked_about(model, twin), cluster)
    assert not cluster.names
    assert {name: row.same_as for name, row in after.items()} == {
        str(model): None,
        str(twin): str(model),
    }
    assert {row.twin for row in after.values()} == {row.twin for row in before.values()}
