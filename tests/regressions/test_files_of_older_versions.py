"""Files that an older version wrote stay readable: reports, a lock, a baseline, waivers.

``tests/data/v0.1.0`` was written by plmscan 0.1.0 about two tiny models and a pickled one, and is
never written again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plmscan.cli.scanning.saved import judged, read_saved
from plmscan.config import read_baseline
from plmscan.config.lock import read_lock
from plmscan.config.read import read_config
from plmscan.evidence import Verdict
from plmscan.reports import json_v1

if TYPE_CHECKING:
    from plmscan.survey import Survey

OLD = Path(__file__).parents[1] / "data" / "v0.1.0"
REPORTS = {
    "pass": Verdict.PASS,
    "fail": Verdict.FAIL,
    "inconclusive": Verdict.INCONCLUSIVE,
    "waived": Verdict.PASS,
    "survey": Verdict.PASS,
}
"""Saved reports by name, with the verdict in them."""


def saved(name: str) -> Survey:
    """The report that the old version saved."""
    return read_saved(OLD / f"{name}.json")


@pytest.mark.parametrize(("name", "verdict"), REPORTS.items())
def test_a_saved_report_is_read_and_keeps_its_verdict(name: str, verdict: Verdict) -> None:
    """A report of an older version says today what it said then."""
    assert saved(name).verdict is verdict


@pytest.mark.parametrize("name", REPORTS)
def test_a_saved_report_can_be_written_and_read_again(name: str) -> None:
    """Nothing of an old report is lost on its way through today's format."""
    survey = saved(name)
    assert json_v1.survey_from_json(json_v1.render(survey)) == survey


def test_a_saved_fail_still_fails_when_it_is_judged_again() -> None:
    """Judging an old report with the rules of today keeps the planted triggers."""
    again = judged(saved("fail"), None, None, None)
    assert again.verdict is Verdict.FAIL
    found = {f.evidence.subject for f in again.reports[0].findings if f.rule == "PLM201"}
    assert found == {"cf", "mn"}


def test_an_old_baseline_waives_what_it_waived() -> None:
    """Every finding that the old version knew is still known."""
    known = read_baseline(OLD / "plmscan-baseline.json")
    again = judged(saved("fail"), None, OLD / "plmscan-baseline.json", None)
    assert known
    assert all(f.waived is not None for f in again.reports[0].findings)


def test_an_old_lock_names_its_models() -> None:
    """The lock of an older version says which files were adopted."""
    lock = read_lock(OLD / "plmscan.lock")
    assert set(lock.models) == {"./honest", "./planted"}
    assert all("model.safetensors" in model.files for model in lock.models.values())


def test_an_old_configuration_is_read_with_its_waivers() -> None:
    """A waiver under ``ignore``, its older name, still names its finding."""
    config = read_config(OLD / "plmscan.yaml")
    assert [waiver.rule for waiver in config.waivers] == ["PLM201"]
