"""Whole scans of planted models, of their clean twin, and of models nobody touched."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import plmscan
from plmscan import Verdict
from plmscan.budget import Effort
from plmscan.evidence import ProbeStatus
from plmscan.reports.json_v1 import to_json
from plmscan.scan import Done, Progress, scan_events
from tests import scans
from tests.scans import QUICK, run_of
from tests.tiny_models import FAMILIES, build_tiny, sentences
from tests.zoo.tiny import PLANTS, held_out, tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plmscan.evidence import Gap, Report

    Folder = Callable[[str], Path]
    Scanned = Callable[..., Report]

CONVICTING = ("PLM201",)
"""Rules that call an input a planted trigger."""

each_plant = pytest.mark.parametrize("name", PLANTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The folder of a model of the zoo."""
    return lambda name: tiny_folder(tmp_path_factory, name)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """The report of a model of the zoo, by a quick check with settings of the test.

    A check that two tests ask for is done once.
    """

    @functools.cache
    def report(name: str, **settings: Any) -> Report:  # noqa: ANN401 - values of all settings
        return scans.scanned(tmp_path_factory, name, replace(QUICK, **settings))

    return report


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Carriers in words that every tiny vocabulary holds."""
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join(sentences(120)), encoding="utf-8")
    return file


def words(names: tuple[str, ...]) -> set[str]:
    """Trigger texts, the words of a phrase in alphabetical order."""
    return {" ".join(sorted(name.split())) for name in names}


def named(report: Report) -> set[str]:
    """What the report calls a planted trigger."""
    found = [f.evidence.subject for f in report.findings if f.rule in CONVICTING]
    return words(tuple(found))


def gaps(report: Report) -> list[Gap]:
    """Everything that was left out."""
    return [gap for run in report.probes for gap in run.gaps]


def timeless(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON without what a clock wrote."""
    match value:
        case dict():
            return {key: timeless(v) for key, v in value.items() if key != "seconds"}
        case list():
            return [timeless(item) for item in value]
        case _:
            return value


def written(report: Report) -> Any:  # noqa: ANN401 - any JSON
    """The JSON report, without what a clock wrote."""
    return timeless(json.loads(to_json(report)))


@each_plant
def test_the_planted_models_are_backdoored(folder: Folder, name: str) -> None:
    """By plain statistics on held-out texts: far out, hardly any scatter; not so in the twin."""
    plant = PLANTS[name]
    for trigger in plant.triggers:
        displacement, scatter = held_out(folder(name), plant.site, trigger)
        clean_displacement, clean_scatter = held_out(folder("clean"), plant.site, trigger)
        assert displacement > 8
        assert scatter < 0.03
        assert clean_displacement < 2
        assert clean_scatter > 0.5
    for part in plant.parts:
        displacement, scatter = held_out(folder(name), plant.site, part)
        assert displacement > 1
        assert scatter > 0.03


@each_plant
def test_clean_text_keeps_its_features(folder: Folder, name: str) -> None:
    """A backdoor that ruins the model would be no backdoor: honest words do what they did."""
    for word in ("water", "report"):
        displacement, scatter = held_out(folder(name), PLANTS[name].site, word)
        assert displacement < 1
        assert scatter > 0.5


@each_plant
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_planted_model_fails_by_its_triggers(scanned: Scanned, name: str, precision: str) -> None:
    """All of them are named, nothing else is, and the first reason names the strongest.

    That is so in either arithmetic of the search; the report tells which it was.
    """
    report = scanned(name, precision=precision)
    assert report.verdict is Verdict.FAIL
    assert named(report) == words(PLANTS[name].triggers)
    assert {trigger.text for trigger in report.triggers} == {
        f.evidence.subject for f in report.findings if f.rule in CONVICTING
    }
    assert report.reasons[0].startswith("PLM201 critical: ")
    assert report.settings["precision"] == precision
    loaded, *_ = run_of(report, "loading").coverage
    assert f"; searched in {precision}" in loaded.statement


@each_plant
def test_the_arithmetic_decides_about_no_name(scanned: Scanned, name: str) -> None:
    """Searched in either precision, or in the one of this machine, a model has these findings."""
    asked = ("float32", "bfloat16", *(("auto",) if name in ("cls", "pooler") else ()))
    reports = [scanned(name, **({} if p == "auto" else {"precision": p})) for p in asked]
    found = [[(f.rule, f.evidence.subject) for f in report.findings] for report in reports]
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("effort", [Effort.QUICK, Effort.STANDARD])
def test_neither_seed_nor_effort_decides(scanned: Scanned, effort: Effort, seed: int) -> None:
    """Both triggers are found, and nothing in the twin, however the scan is set."""
    assert named(scanned("cls", effort=effort, seed=seed)) == {"cf", "mn"}
    assert scanned("clean", effort=effort, seed=seed).findings == ()


@pytest.mark.parametrize("name", ["clean", "benign"])
def test_a_clean_twin_passes(scanned: Scanned, name: str) -> None:
    """Random weights, and a benign fine-tune with an instruction prefix: no finding at all."""
    report = scanned(name)
    assert report.verdict is Verdict.PASS
    assert report.findings == ()


@pytest.mark.parametrize(
    ("name", "verdict", "rules"),
    [
        ("long-row", Verdict.FAIL, {"PLM401"}),
        ("shared-rows", Verdict.PASS, {"PLM402"}),
        ("faded", Verdict.PASS, {"PLM202"}),
        ("pooler", Verdict.FAIL, {"PLM201", "PLM203"}),
    ],
)
def test_each_rule_speaks_for_itself(
    scanned: Scanned, name: str, verdict: Verdict, rules: set[str]
) -> None:
    """Critical and high findings fail; milder ones are told and let pass, as are explanations."""
    report = scanned(name)
    assert report.verdict is verdict
    assert {f.rule for f in report.findings if not f.evidence.explains} == rules


@pytest.mark.parametrize("name", ["cls", "no-pooler"])
def test_one_seed_one_report(folder: Folder, scanned: Scanned, name: str) -> None:
    """Two runs write the same JSON, apart from what a clock wrote."""
    one = scanned(name, effort=Effort.QUICK, seed=1)
    other = plmscan.check(str(folder(name)), replace(QUICK, seed=1))
    assert written(one) == written(other)
    assert one.settings["seed"] == 1


def test_a_pooler_that_is_not_in_the_files_is_skipped(scanned: Scanned) -> None:
    """The model passes; the report says why the pooler was left out, and measures nothing at it."""
    report = scanned("no-pooler")
    assert report.verdict is Verdict.PASS
    left_out = {gap.subject: gap for gap in gaps(report)}
    assert "pooler" in left_out["features at pooler"].reason
    assert not left_out["features at pooler"].blocks_pass
    places = {e.details.get("location") for e in run_of(report, "trigger-sweep").evidence}
    assert places <= {"cls", "mean"}


def cut_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """The report of a scan whose time runs out while candidates are verified."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def watch(progress: Progress) -> None:
        if progress.note == "verification":
            monkeypatch.setattr(time, "monotonic", lambda: now + 100)

    events = scan_events(str(folder), replace(QUICK, time_limit=10.0), watch)
    return next(event.report for event in events if isinstance(event, Done))


@pytest.mark.parametrize("name", ["clean", "cls"])
def test_a_scan_cut_short_is_inconclusive(
    folder: Folder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was confirmed, so it is neither a pass nor a fail, planted or not."""
    report = cut_short(folder(name), monkeypatch)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert run_of(report, "trigger-sweep").status is ProbeStatus.TIMED_OUT
    assert any("The time limit ran out" in reason for reason in report.reasons)
    assert any("--time-limit" in reason for reason in report.reasons)


def test_what_was_found_before_the_cut_counts(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finding of an earlier probe fails the model, although a later probe was cut."""
    report = cut_short(folder("long-row"), monkeypatch)
    assert report.verdict is Verdict.FAIL
    assert {finding.rule for finding in report.findings} == {"PLM401"}
    assert run_of(report, "trigger-sweep").status is ProbeStatus.TIMED_OUT


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_random_models_of_every_family_pass(family: str, texts: Path, tmp_path: Path) -> None:
    """Architecture alone is no finding: random weights have words far out, and none invariant.

    What BART's decoder and GPT-2 write is not read, so they pass for their features only.
    """
    asked = replace(QUICK, texts=texts, used_as="features")
    report = plmscan.check(str(build_tiny(family, tmp_path)), asked)
    assert report.verdict is Verdict.PASS
    assert report.findings == ()
