"""Is a report about this model: the digests of its files decide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.errors import ReportError
from plmscan.guard.identity import report_about
from plmscan.source import SourceOptions, resolve
from tests.guarding import report_on
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path


def test_the_report_of_these_files_is_taken_without_doubt(tmp_path: Path) -> None:
    """Of several reports, the one whose digests are those of the model."""
    folder = build_tiny("bert", tmp_path / "a")
    other = report_on(build_tiny("bert", tmp_path / "b", seed=1))
    ours = report_on(folder)
    match = report_about(resolve(str(folder), SourceOptions()), [other, ours])
    assert (match.report, match.doubt) == (ours, "")


def test_a_model_of_the_same_tokenizer_is_taken_with_doubt(tmp_path: Path) -> None:
    """Other weights: the files that differ are named."""
    folder = build_tiny("bert", tmp_path / "a")
    other = report_on(build_tiny("bert", tmp_path / "b", seed=1))
    match = report_about(resolve(str(folder), SourceOptions()), [other])
    assert match.report is other
    assert "same tokenizer and differs in model.safetensors." in match.doubt


def test_a_report_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    """Its ids would be other tokens; a report without files is about nothing."""
    artifact = resolve(str(build_tiny("bert", tmp_path / "a")), SourceOptions())
    other = report_on(build_tiny("roberta", tmp_path / "b"))
    empty = replace(other, model=replace(other.model, files=()))
    with pytest.raises(ReportError, match="the files of the tokenizer differ"):
        report_about(artifact, [other, empty])
    with pytest.raises(ReportError):
        report_about(artifact, [])
