"""Is a report about this model: the digests of its files decide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.errors import ReportError
from plmscan.guard.identity import report_about
from plmscan.scan import Settings, check
from plmscan.source import SourceOptions, resolve, resolve_stack
from tests.adapters import adapter_of
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


def test_the_base_of_an_adapter_is_part_of_the_model(tmp_path: Path) -> None:
    """The same adapter on another base is another model; the files that differ are named."""
    base, other = (build_tiny("bert", tmp_path / name, seed=k) for k, name in enumerate("ab"))
    folder = adapter_of(base, tmp_path / "adapter")
    report = check(str(folder), Settings(base=str(base), device="cpu"))

    def doubt(under: Path) -> str:
        return report_about(resolve_stack(str(folder), SourceOptions(), str(under)), [report]).doubt

    assert doubt(base) == ""
    assert "differs in model.safetensors of the base." in doubt(other)


def test_a_report_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    """Its ids would be other tokens; a report without files is about nothing."""
    artifact = resolve(str(build_tiny("bert", tmp_path / "a")), SourceOptions())
    other = report_on(build_tiny("roberta", tmp_path / "b"))
    empty = replace(other, model=replace(other.model, files=()))
    with pytest.raises(ReportError, match="the files of the tokenizer differ"):
        report_about(artifact, [other, empty])
    with pytest.raises(ReportError):
        report_about(artifact, [])
