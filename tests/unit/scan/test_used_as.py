"""What nobody read does not pass, unless the user declares that nobody will."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.evidence import Severity, Verdict
from plmscan.reports import Format, render
from plmscan.scan import Settings, check, rejudge
from tests.layouts import LAYOUTS, build
from tests.tiny_models import build_tiny
from tests.tiny_types import build_type

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.evidence import Report

NOTE = "Only features are used, as --used-as features declares: no head was measured."


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that writes."""
    return build_tiny("llama", tmp_path_factory.mktemp("llama"), head="causal-lm")


@pytest.fixture(scope="module")
def declared(writer: Path, settings: Settings) -> Report:
    """The report of the same, declared to be used for its features."""
    return check(str(writer), replace(settings, used_as="features"))


def test_a_language_model_passes_only_if_its_vocabulary_was_swept(
    writer: Path, settings: Settings
) -> None:
    """Nothing has to be declared: what it writes is searched, and the report says how."""
    report = check(str(writer), settings)
    assert report.verdict is Verdict.PASS
    (run,) = (run for run in report.probes if run.id == "written-answers")
    said = " ".join(coverage.statement for coverage in run.coverage)
    assert "vocabulary items in short requests" in said


def test_a_language_model_without_time_is_inconclusive(writer: Path, settings: Settings) -> None:
    """A vocabulary that was not swept to its end gives no pass."""
    report = check(str(writer), replace(settings, time_limit=0.01))
    assert report.verdict is Verdict.INCONCLUSIVE


def test_a_language_model_whose_writing_was_not_read_is_inconclusive(
    settings: Settings, tmp_path: Path
) -> None:
    """The reason names the class, its tensors, what was not read, and the remedy."""
    report = check(str(build_type("xlnet", tmp_path, head="causal-lm")), settings)
    assert report.verdict is Verdict.INCONCLUSIVE
    (reason,) = (one for one in report.reasons if "causal-lm head" in one)
    assert "XLNetLMHeadModel" in reason
    assert "lm_loss" in reason
    assert "its tokens see what follows them" in reason
    assert "--used-as features" in reason


def test_a_declared_use_passes_and_says_so(declared: Report) -> None:
    """Nobody reads the head, the user says: the first words of the report are these."""
    assert declared.verdict is Verdict.PASS
    assert declared.reasons[0].startswith(NOTE)
    assert declared.settings["used_as"] == "features"


@pytest.mark.parametrize("report_format", Format)
def test_every_report_tells_what_was_declared(declared: Report, report_format: Format) -> None:
    """Whatever format a reader gets, and in its own words where it is for people."""
    text = " ".join(render(declared, report_format).split())
    if report_format in (Format.IN_TOTO, Format.CYCLONEDX):
        assert "used_as" in text
        assert "features" in text
    else:
        assert "--used-as features" in text.replace("\\-", "-")


def test_judging_again_keeps_the_declaration(declared: Report) -> None:
    """What was left out stays left out, by whatever rules the rest is judged."""
    again = rejudge(declared, None, Severity.HIGH)
    assert again.verdict is Verdict.PASS
    assert again.reasons == declared.reasons


@pytest.mark.parametrize("name", ["bert-swag", "bert regression", "colbertv2.0"])
def test_no_unread_head_passes(name: str, tmp_path: Path, settings: Settings) -> None:
    """A choice of texts, several numbers, a layer that only its authors know."""
    (layout,) = (one for one in LAYOUTS if one.name == name)
    report = check(str(build(layout, tmp_path)), settings)
    assert report.verdict is not Verdict.PASS
    assert any(reason.startswith("loading: ") for reason in report.reasons)


def test_the_command_line_takes_it(writer: Path, settings: Settings) -> None:
    """For a check, and for the texts of an inspection; another word is refused."""
    shared = ["--quiet", "--used-as", "features"]
    options = ["--effort", "quick", "--texts", str(settings.texts), "--no-cache", *shared]
    assert CliRunner().invoke(app, ["check", str(writer), *options]).exit_code == 0
    texts = ["--texts", str(settings.texts), "--clean", str(settings.texts)]
    inspected = CliRunner().invoke(app, ["inspect", str(writer), *texts, *shared])
    assert "causal-lm" not in inspected.stdout
    wrong = CliRunner().invoke(app, ["check", str(writer), "--used-as", "classifier"])
    assert wrong.exit_code == 2
