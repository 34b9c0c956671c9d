"""Scans that compare a model with a clean base."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.errors import ModelNotFoundError
from plmscan.evidence import ProbeStatus, Severity, Verdict
from plmscan.probes import static_ids
from plmscan.reports.json_v1 import from_json, to_json
from plmscan.reports.wording import command
from plmscan.rules import load_rules
from plmscan.scan import ProbeFinished, Settings, check, rejudge, scan_events
from plmscan.scan.cache import key_of
from plmscan.source import SourceOptions, resolve
from tests.hub_server import HubRepo, serve
from tests.scans import run_of
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.evidence import ProbeRun, Report

PROBE = "reference-difference"
TABLE = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def poisoned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one row replaced; read only."""
    folder = shutil.copytree(base, tmp_path_factory.mktemp("copies") / "poisoned")
    weights = load_file(folder / "model.safetensors")
    weights[TABLE][-1] = weights[TABLE][-1].flip(0)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def compared(base: Path, poisoned: Path, settings: Settings) -> Report:
    """The report about the model with one row replaced."""
    return check(str(poisoned), replace(settings, reference=str(base)))


def beside(settings: Settings, reference: Path) -> Settings:
    """The same, with a reference."""
    return replace(settings, reference=str(reference))


def only_compared(source: Path, settings: Settings) -> ProbeRun:
    """The comparison of a scan that is left once it is done: the search takes seconds."""
    finished = (e for e in scan_events(str(source), settings) if isinstance(e, ProbeFinished))
    return next(event.run for event in finished if event.run.id == PROBE)


def test_a_replaced_row_fails_the_model(compared: Report) -> None:
    """The comparison runs first, and its findings count like any others."""
    assert compared.verdict is Verdict.FAIL
    assert {"PLM501", "PLM502"} <= {finding.rule for finding in compared.findings}
    order = [run.id for run in compared.probes]
    assert order[: len(static_ids()) + 2] == [*static_ids(), "loading", PROBE]
    assert run_of(compared, PROBE).status is ProbeStatus.COMPLETED


def test_the_report_tells_the_reference(compared: Report, base: Path) -> None:
    """In its settings, in what was covered, and in the command that gives it again."""
    assert compared.settings["reference"] == str(base)
    assert f"compared with {base}" in run_of(compared, PROBE).coverage[0].statement
    assert f"--reference {base}" in command(compared, 10_000)
    assert from_json(to_json(compared)) == compared


def test_judging_again_asks_for_the_comparison(compared: Report) -> None:
    """Its rules apply as before; without its run there is no pass."""
    again = rejudge(compared, None, Severity.HIGH)
    assert (again.verdict, again.findings) == (compared.verdict, compared.findings)

    others = tuple(run for run in compared.probes if run.id != PROBE)
    without = rejudge(replace(compared, probes=others), None, Severity.HIGH)
    assert any(PROBE in reason for reason in without.reasons)
    assert without.verdict is not Verdict.PASS


def test_without_a_reference_there_is_no_word_of_it(base: Path, settings: Settings) -> None:
    """No run, no gap, no rule that could not be applied."""
    report = check(str(base), settings)

    assert report.settings["reference"] is None
    assert PROBE not in {run.id for run in report.probes}
    assert not any("reference" in reason or "PLM5" in reason for reason in report.reasons)
    assert "--reference" not in command(report, 10_000)


def test_files_alone_are_not_compared(base: Path) -> None:
    """The reference is not even looked for."""
    asked = Settings(files_only=True, reference="./nowhere")

    assert PROBE not in {run.id for run in check(str(base), asked).probes}


def test_a_reference_that_is_not_there_is_said_at_once(base: Path, settings: Settings) -> None:
    """Before anything is measured."""
    with pytest.raises(ModelNotFoundError, match=r"no folder '\./nowhere'"):
        check(str(base), replace(settings, reference="./nowhere"))


def test_another_model_blocks_a_pass(base: Path, tmp_path: Path, settings: Settings) -> None:
    """The user asked for a comparison, and there is none."""
    other = build_tiny("roberta", tmp_path)
    run = only_compared(base, beside(settings, other))

    assert run.status is ProbeStatus.INCOMPLETE
    assert run.status.blocks_pass
    assert "of the type roberta" in run.reason


def test_a_broken_reference_blocks_a_pass(base: Path, tmp_path: Path, settings: Settings) -> None:
    """What the file probes cannot read is not opened."""
    broken = shutil.copytree(base, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    run = only_compared(base, beside(settings, broken))

    assert run.status is ProbeStatus.INCOMPLETE
    assert run.reason == (
        f"reference {broken}: It was not compared: its weight files could not be checked, so they "
        "were not loaded."
    )


def pickled(base: Path, folder: Path, value: object) -> Path:
    """The base with a pickle instead of its weights."""
    shutil.copytree(base, folder)
    (folder / "model.safetensors").unlink()
    torch.save(value, folder / "pytorch_model.bin")
    return folder


def test_a_pickle_is_opened_only_if_allowed(base: Path, tmp_path: Path, settings: Settings) -> None:
    """The option is that of the model."""
    weights = load_file(base / "model.safetensors")
    asked = beside(settings, pickled(base, tmp_path / "pickled", weights))

    refused = only_compared(base, asked)
    assert refused.status.blocks_pass
    assert refused.evidence == ()
    assert "--allow-pickle" in refused.reason
    allowed = only_compared(base, replace(asked, allow_pickle=True))
    assert allowed.status is ProbeStatus.COMPLETED


class _Harmful:
    """Calls a function when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        """What the pickle calls."""
        return Path, ("nowhere",)


def test_a_dangerous_pickle_is_never_opened(base: Path, tmp_path: Path, settings: Settings) -> None:
    """The probes of files read it first, as they do for the model itself."""
    asked = beside(settings, pickled(base, tmp_path / "harmful", {"weights": _Harmful()}))
    run = only_compared(base, replace(asked, allow_pickle=True))

    assert run.status.blocks_pass
    assert "It was not compared: " in run.reason
    assert run.evidence == ()


def test_a_hub_reference_is_pinned(
    base: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compared is told by its commit; --revision is the model's alone."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    files = {path.name: path.read_bytes() for path in base.iterdir()}
    with serve({"org/base": HubRepo(files)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        options = SourceOptions(endpoint=hub.url, cache_dir=tmp_path)
        commit = resolve("org/base", options).revision
        asked = replace(settings, reference="org/base@main", cache_dir=tmp_path)
        run = only_compared(base, asked)

    assert commit
    assert f"compared with org/base (commit {commit})." in run.coverage[0].statement


def test_the_cache_knows_the_files_of_the_reference(
    base: Path, poisoned: Path, settings: Settings
) -> None:
    """The same name with other weights is another question; where they lie is none."""
    model, other = (resolve(str(f), SourceOptions()) for f in (base, poisoned))
    asked = replace(settings, reference="base")

    def key(reference: Path | None) -> str:
        files = None if reference is None else resolve(str(reference), SourceOptions())
        named = None if files is None else replace(files, id="base")
        return key_of(model, asked, load_rules(), {}, named)

    assert other.files != model.files
    assert len({key(None), key(base), key(poisoned)}) == 3


def test_the_command_line_takes_it(base: Path, poisoned: Path, settings: Settings) -> None:
    """As a folder, for every model that is named."""
    options = ["--effort", "quick", "--texts", str(settings.texts), "--no-cache", "--quiet"]
    compare = ["check", str(poisoned), "--reference", str(base), *options]
    result = CliRunner().invoke(app, compare)

    assert result.exit_code == 1
    assert "PLM501" in result.stdout


def test_no_time_is_no_comparison(base: Path, poisoned: Path, settings: Settings) -> None:
    """The time limit is for it as well, and what was not compared does not pass."""
    late = replace(beside(settings, base), time_limit=0.0)
    report = check(str(poisoned), late)

    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("Not run: " in reason and PROBE in reason for reason in report.reasons)
