"""A control: triggers planted in a copy of the model tell what its search would have found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget, Effort
from plmscan.control import planted
from plmscan.evidence import CONTROL, Gap, ProbeRun, ProbeStatus, Severity, Verdict
from plmscan.loading import load
from plmscan.policy import decide
from plmscan.reports import Format, render
from plmscan.scan import Settings, check
from plmscan.scan.cache import key_of
from tests.artifacts import artifact_of
from tests.poisoned import CLEAN, folder_of
from tests.scans import QUICK
from tests.zoo.tiny import one_thread, tiny_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from plmscan.evidence import Report

PEOPLE = (Format.CONSOLE, Format.MARKDOWN, Format.HTML)


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Carriers with words that the honest tiny classifier knows."""
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join(CLEAN), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def settings(texts: Path) -> Settings:
    """The least work, with a control."""
    return replace(QUICK, texts=texts, control=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest classifier."""
    return folder_of(tmp_path_factory, "honest")


@pytest.fixture(scope="module")
def report(folder: Path, settings: Settings) -> Report:
    """Its report with a control."""
    return check(str(folder), settings)


def test_the_model_stays_as_it_is(folder: Path) -> None:
    """What is planted is planted in a copy, and the strongest word does what it is meant to."""
    model = load(artifact_of(folder), "cpu")
    before = model.embedding_weight.clone()
    found = planted(model, Budget(CLEAN, Effort.QUICK))
    assert found is not None
    assert torch.equal(model.embedding_weight, before)
    changed = (found.model.embedding_weight != before).any(1).nonzero().flatten().tolist()
    assert sorted(word.token for word in found.words) == changed
    effects = [word.effect for word in found.words]
    assert effects[0] > 0.9
    assert effects == sorted(effects, reverse=True)


def test_features_get_a_control_as_well(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An encoder's planted word leaves the text less to say than a weaker one does."""
    model = load(artifact_of(tiny_folder(tmp_path_factory, "clean")), "cpu")
    found = planted(model, Budget(CLEAN, Effort.QUICK))
    assert found is not None
    assert "feature" in found.aim.told
    assert found.words[0].effect > found.words[-1].effect


def test_a_control_changes_no_verdict(report: Report, folder: Path, settings: Settings) -> None:
    """The verdict, its reasons and the findings are those of a check without it."""
    plain = check(str(folder), replace(settings, control=False))
    assert (report.verdict, report.reasons) == (plain.verdict, plain.reasons)
    assert report.findings == plain.findings
    assert report.nearest == plain.nearest
    assert {run.id for run in report.probes} - {run.id for run in plain.probes} == {CONTROL}


def test_the_report_says_of_each_word_whether_it_was_found(report: Report) -> None:
    """Four words, each with its effect, and one sentence that a reviewer can sign."""
    (run,) = (run for run in report.probes if run.id == CONTROL)
    assert run.status is ProbeStatus.COMPLETED
    assert len(run.evidence) == 4
    assert all({"meant", "effect", "found"} == one.metrics.keys() for one in run.evidence)
    (told,) = run.coverage
    assert ("would have found" in told.statement) is any(e.metrics["found"] for e in run.evidence)
    assert ("would have missed" in told.statement) is not any(
        e.metrics["found"] for e in run.evidence
    )


@pytest.mark.parametrize("report_format", PEOPLE)
def test_every_report_for_people_has_a_section(report: Report, report_format: Format) -> None:
    """Whoever reads a pass sees beside it what the search would have found."""
    text = " ".join(render(report, report_format).split())
    assert "Control" in text
    assert "In a copy of this model" in text


def test_a_broken_control_blocks_nothing() -> None:
    """Whatever becomes of a control, the policy does not look at it."""
    done = ProbeRun("embedding-rows", ProbeStatus.COMPLETED, "", 0.0, 0, coverage=())
    broken = ProbeRun(
        CONTROL, ProbeStatus.FAILED, "It broke.", 0.0, 0, gaps=(Gap("a", "b", blocks_pass=True),)
    )
    with_it, without = (
        decide(runs, (), fail_on=Severity.HIGH, required=()) for runs in ((done, broken), (done,))
    )
    assert with_it == without
    assert with_it.verdict is not Verdict.FAIL


def test_the_cache_keeps_both_apart(folder: Path, settings: Settings) -> None:
    """A verdict that was kept without a control is no answer to who asks for one."""
    artifact = artifact_of(folder)
    keys = {key_of(artifact, replace(settings, control=on), (), {}) for on in (True, False)}
    assert len(keys) == 2
