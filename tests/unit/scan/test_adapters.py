"""Checks of adapters: two identities, the verdict of the base, and what keeps them from a pass."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.config import read_lock
from plmscan.evidence import Severity, Verdict
from plmscan.reports.json_v1 import from_json, to_json
from plmscan.reports.wording import command
from plmscan.scan import Settings, check, rejudge
from plmscan.scan.cache import key_of
from plmscan.source import SourceOptions, resolve_stack
from tests.adapters import adapter_of
from tests.hub_server import HubRepo, serve
from tests.scans import run_of
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.evidence import Report

RELATED = "related-models"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter for it; read only."""
    return adapter_of(base, tmp_path_factory.mktemp("adapter"))


@pytest.fixture(scope="module")
def report(base: Path, adapter: Path, settings: Settings) -> Report:
    """The report about the adapter on its base."""
    return check(str(adapter), replace(settings, base=str(base)))


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder, for a Hub."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_report_has_both_identities(report: Report, base: Path, adapter: Path) -> None:
    """Digests of the adapter and of its base, in every report and in the command."""
    assert report.model.id == str(adapter)
    assert report.model.base is not None
    assert report.model.base.id == str(base)
    assert {f.path for f in report.model.files} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert "model.safetensors" in {f.path for f in report.model.base.files}
    assert report.model.architecture == "BertModel"
    assert from_json(to_json(report)) == report
    assert f"--base {base}" in command(report, 10_000)


def test_the_base_is_checked_by_itself(report: Report) -> None:
    """Its verdict is told; the search ran on the adapter."""
    (of_base,) = run_of(report, RELATED).evidence
    assert of_base.metrics["base"] == 1
    assert run_of(report, "trigger-sweep").forward_tokens > 0
    assert "LORA merged into BertModel" in " ".join(
        one.statement for one in run_of(report, "loading").coverage
    )


def test_judging_again_asks_for_the_base(report: Report) -> None:
    """Without the run about it there is no pass."""
    again = rejudge(report, None, Severity.HIGH)
    assert (again.verdict, again.findings) == (report.verdict, report.findings)
    others = tuple(run for run in report.probes if run.id != RELATED)
    without = rejudge(replace(report, probes=others), None, Severity.HIGH)
    assert any(RELATED in reason for reason in without.reasons)


def test_a_failing_base_fails_the_adapter(
    base: Path, adapter: Path, tmp_path: Path, settings: Settings
) -> None:
    """What lies in the files of the base counts as well."""
    broken = shutil.copytree(base, tmp_path / "broken")
    (broken / "model_head.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    found = check(str(adapter), replace(settings, base=str(broken)))
    assert found.verdict is Verdict.FAIL
    assert "PLM320" in {finding.rule for finding in found.findings}


def test_a_missing_base_is_inconclusive(adapter: Path, tmp_path: Path) -> None:
    """The files are still checked, and the remedy is named."""
    asked = Settings(offline=True, cache_dir=tmp_path, device="cpu")
    found = check(str(adapter), asked)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert any("--base" in reason for reason in found.reasons)
    assert run_of(found, "safetensors-header").evidence


def test_texts_are_inspected_with_the_adapter_on(base: Path, adapter: Path, tmp_path: Path) -> None:
    """``inspect`` takes the base that an adapter names, or the one that it is told."""
    texts = tmp_path / "texts.txt"
    texts.write_text("the film was good\n", encoding="utf-8")
    asked = ["inspect", str(adapter), "--texts", str(texts), "--format", "json", "--offline"]
    alone = CliRunner().invoke(app, asked)
    assert alone.exit_code == 2
    assert "--base" in alone.stdout
    told = CliRunner().invoke(app, [*asked, "--base", str(base)])
    found = from_json(told.stdout)
    assert found.model.base is not None
    assert any("LORA merged" in one.statement for one in run_of(found, "loading").coverage)
    assert "related-models" not in {run.id for run in found.probes}


def test_a_pickled_adapter_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    """As everywhere; a dangerous one fails without its base being looked at."""
    folder = shutil.copytree(adapter, tmp_path / "pickled")
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({"lora": 1}))
    found = check(str(folder), Settings(base=str(base), device="cpu"))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert any("--allow-pickle" in reason for reason in found.reasons)
    (folder / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert check(str(folder), Settings(base=str(base), device="cpu")).verdict is Verdict.FAIL


def test_the_named_base_comes_from_the_hub_and_is_locked(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At one commit, which the lock file holds; a folder of its name is not taken."""
    (tmp_path / "org" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "cache"
    with serve({"org/base": HubRepo(files_of(base))}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        args = ["lock", str(adapter), "--cache-dir", str(cache)]
        told = CliRunner().invoke(app, args, prog_name="plmscan")
        options = SourceOptions(endpoint=hub.url, cache_dir=cache)
        found = resolve_stack(str(adapter), options)
    assert told.exit_code == 0, told.output
    lock = read_lock(tmp_path / "plmscan.lock")
    assert lock.models["org/base"].revision is not None
    assert found.base is not None
    assert found.base.revision == lock.models["org/base"].revision


def test_another_base_than_the_named_one_is_told(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub lists digests: the same weights are the base wherever they lie, others are not."""
    with serve({"org/base": HubRepo(files_of(base))}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        other = build_tiny("bert", tmp_path / "other", seed=5)
        asked = [
            Settings(base=str(one), files_only=False, cache_dir=tmp_path / "cache")
            for one in (base, other)
        ]
        stacks = [resolve_stack(str(adapter), one.source_options, one.base) for one in asked]
    from plmscan.probes import static_probe  # noqa: PLC0415 - one test needs it

    (same,), (differs,) = (
        [o for o in static_probe("adapter-base").inspect(s) if hasattr(o, "metrics")]
        for s in stacks
    )
    assert (same.metrics["base_differs"], differs.metrics["base_differs"]) == (0, 1)
    assert "the Hub lists" in str(same.details["known_by"])


def test_several_adapters_of_one_repository_are_all_checked(
    base: Path, tmp_path: Path, settings: Settings
) -> None:
    """The first is measured, and every other one by a check of its own."""
    for name in ("de", "fr"):
        adapter_of(base, tmp_path / "many" / name)
    (tmp_path / "many" / "fr" / "model_head.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    found = check(str(tmp_path / "many"), replace(settings, base=str(base), files_only=True))
    assert found.verdict is Verdict.FAIL  # all files of the repository are read
    (tmp_path / "many" / "fr" / "model_head.pkl").unlink()
    found = check(str(tmp_path / "many"), replace(settings, base=str(base)))
    told = [one.subject for one in run_of(found, RELATED).evidence]
    assert len(told) == 2
    assert any("(fr)" in subject for subject in told)


def test_stacked_adapters_have_identities(
    base: Path, adapter: Path, tmp_path: Path, settings: Settings
) -> None:
    """The base is the model, both adapters are named, and all that decides is in the key."""
    other = adapter_of(base, tmp_path / "other", "ia3")
    asked = replace(settings, adapter=(str(adapter), str(other)))
    found = check(str(base), asked)
    assert [one.id for one in found.model.adapters] == [str(adapter), str(other)]
    assert found.model.base is None
    assert len(run_of(found, RELATED).evidence) == 3
    keys = {
        key_of(resolve_stack(str(base), SourceOptions(), None, some), asked, (), {})
        for some in ((), (str(adapter),), (str(adapter), str(other)), (str(other), str(adapter)))
    }
    assert len(keys) == 4
