"""What is told of a fleet: how it stands, what changed, and the summary."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
import sys
import time
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.errors import FleetError
from plmscan.evidence import Verdict
from plmscan.fleet.answers import answer
from plmscan.fleet.cluster import joined
from plmscan.fleet.drift import Change, drifts, verdict_of
from plmscan.fleet.ledger import Measures, opened, read_ledger
from plmscan.fleet.standing import Standing
from plmscan.fleet.summary import Summary, write_summary
from plmscan.survey import Entry
from tests.fleeting import asked_about
from tests.specimens import clean, poisoned, unfinished

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.evidence import Report
    from plmscan.fleet.ledger import Row

NAMES = ("org/fine", "org/<b>bad</b>", "=cmd()", "org/open")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet of four models, of which the last is not answered; read only."""
    out = tmp_path_factory.mktemp("fleet")
    reports: tuple[Report, ...] = (clean(), poisoned(), unfinished())
    with opened(out) as ledger:
        ledger.note("began", time.time() - 60)
        asked = ledger.enrol(asked_about(*NAMES))
        for question, report in zip(asked, reports, strict=False):
            named = replace(report, model=replace(report.model, id=question.name))
            ledger.record(question, *answer(Entry(named)), Measures(seconds=1.5, machine="here"))
        ledger.stage(NAMES[3], "search", attempt=True)
        rows = tuple(ledger.rows())
        write_summary(Summary(rows), ledger)
    return out


def rows_of(folder: Path) -> tuple[Row, ...]:
    """The rows of the fleet."""
    with read_ledger(folder) as ledger:
        return tuple(ledger.rows())


def test_a_fleet_tells_how_it_stands(folder: Path) -> None:
    """From another process as well: verdicts, what runs, the pace, and the time that is left."""
    with read_ledger(folder) as ledger:
        told = Standing.of(ledger, now=float(ledger.noted("began") or 0) + 60).told()
    assert told == (
        "3 of 4 models answered; 1 pass, 1 fail, 1 inconclusive; 1 searching; "
        "3.0 models a minute; about 20 s left."
    )


def test_the_page_runs_nothing_but_its_own_script(folder: Path) -> None:
    """Style and script are named by their hashes, and a model's name stays text."""
    page = (folder / "summary.html").read_text(encoding="utf-8")
    policy = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)[0]
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "<b>bad" not in page
    assert "org/&lt;b&gt;bad" in page
    assert "default-src 'none'" in policy


def test_a_spreadsheet_computes_no_name(folder: Path) -> None:
    """Every model is a line, and none of them begins a formula."""
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["verdict"] for line in lines] == ["pass", "fail", "inconclusive", "not answered"]
    assert lines[2]["model"] == "'=cmd()"


def test_the_markdown_names_what_did_not_pass(folder: Path) -> None:
    """And nothing of a name is markup."""
    text = (folder / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("## plmscan: FAIL\n")
    assert "org/fine" not in text
    assert "&lt;b&gt;" in text or "`org/<b>bad</b>`" in text


def test_code_scanning_hears_of_every_model(folder: Path) -> None:
    """Also of the one that was not answered, which keeps the run from being a success."""
    log = json.loads((folder / "sarif" / "part-001.sarif").read_text(encoding="utf-8"))
    (run,) = log["runs"]
    assert [model["verdict"] for model in run["properties"]["models"]] == [
        "pass",
        "fail",
        "inconclusive",
        "inconclusive",
    ]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["results"]


def changed(row: Row, **how: object) -> Row:
    """The row with other columns."""
    return replace(row, **how)  # type: ignore[arg-type] # columns by name


def test_what_changed_is_told_and_what_got_worse_counts(folder: Path) -> None:
    """A known fail does not fail again; a pass that became inconclusive does count."""
    fine, bad, odd, _ = rows_of(folder)
    assert not drifts((fine, bad, odd), (fine, bad, odd))
    assert verdict_of(()) is Verdict.PASS
    lost = changed(fine, verdict="inconclusive")
    (drift,) = drifts((fine, bad), (lost, bad))
    assert (drift.changes, drift.told) == ((Change.VERDICT,), "pass → inconclusive")
    assert verdict_of((drift,)) is Verdict.INCONCLUSIVE
    (better,) = drifts((lost,), (fine,))
    assert verdict_of((better,)) is Verdict.PASS
    (other,) = drifts((bad,), (changed(bad, digest="0" * 64),))
    assert other.changes == (Change.WEIGHTS,)
    assert verdict_of((other,)) is Verdict.FAIL
    new, gone = drifts((fine,), (bad,))
    assert (new.changes, gone.changes) == ((Change.NEW,), (Change.GONE,))
    assert verdict_of((new, gone)) is Verdict.FAIL


def test_a_margin_counts_from_its_factor_on(folder: Path) -> None:
    """What came twice as near to a rule is told where that is asked, and decides nothing."""
    fine = changed(rows_of(folder)[0], margin=-1.0)
    near = changed(fine, margin=-1.0 + math.log(2.1))
    assert not drifts((fine,), (near,), factor=3.0)
    (drift,) = drifts((fine,), (near,), factor=2.0)
    assert drift.told == "2.1 times nearer to a rule"
    assert verdict_of((drift,)) is Verdict.PASS


def test_two_runs_do_not_fill_one_folder(tmp_path: Path) -> None:
    """The second is told so, and how to watch the first."""
    with (
        opened(tmp_path / "out"),
        pytest.raises(FleetError, match="Another run is filling"),
        opened(tmp_path / "out"),
    ):
        pass


def test_a_folder_without_a_fleet_has_no_status(tmp_path: Path) -> None:
    """One sentence, and no traceback."""
    with pytest.raises(FleetError, match="holds no fleet"), read_ledger(tmp_path):
        pass


def test_without_ray_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the extra, and nothing else of plmscan needs Ray."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FleetError, match="needs the extra fleet") as refused, joined("local"):
        pass
    assert refused.value.remedy == "Install it with pip install 'plmscan[fleet]'."
