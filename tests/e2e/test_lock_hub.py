"""A lock file and a Hub whose branch moves: what was adopted is what is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from plmscan.reports.json_v1 import survey_from_json
from tests.hub_server import HubRepo, serve
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

NAME = "org/name"
REPORT = ("--files-only", "--report=json=report.json", "--quiet")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tiny model."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("bert"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def plmscan(folder: Path, repo: HubRepo, *args: str, home: str = "home") -> int:
    """Run plmscan in ``folder`` beside a Hub that serves ``repo``; its exit code."""
    (folder / home).mkdir(exist_ok=True)
    with serve({NAME: repo}) as hub:
        environment = hub.environment(folder / home) | {"HF_HOME": str(folder / home / "hf")}
        command = [sys.executable, "-m", "plmscan", *args]
        return subprocess.run(
            command, cwd=folder, env=environment, check=False, capture_output=True, timeout=120
        ).returncode


def revision(folder: Path) -> str | None:
    """The commit of the report in ``folder``."""
    (report,) = survey_from_json((folder / "report.json").read_bytes()).reports
    return report.model.revision


@pytest.fixture
def locked(tmp_path: Path, files: dict[str, bytes]) -> Path:
    """A folder with a configuration and the lock file of the model as it is."""
    (tmp_path / "plmscan.yaml").write_text(f"models: [{NAME}]\n", encoding="utf-8")
    assert plmscan(tmp_path, HubRepo(files), "lock") == 0
    return tmp_path


def test_a_branch_that_moved_is_not_followed(locked: Path, files: dict[str, bytes]) -> None:
    """The locked commit is checked until it is locked anew, also where the model is named."""
    first = HubRepo(files)
    moved = HubRepo(files | {"README.md": b"New."}, before=first)
    for args in (("check", *REPORT), ("check", NAME, *REPORT)):
        assert plmscan(locked, moved, *args) == 0
        assert revision(locked) == first.sha
    assert plmscan(locked, moved, "lock") == 0
    assert plmscan(locked, moved, "check", *REPORT) == 0
    assert revision(locked) == moved.sha


def test_a_commit_that_is_gone_is_inconclusive(locked: Path, files: dict[str, bytes]) -> None:
    """Where the Hub has it no more, nothing else is taken instead."""
    moved = HubRepo(files | {"README.md": b"New."})
    assert plmscan(locked, moved, "check", *REPORT, home="empty") == 2
    (entry,) = survey_from_json((locked / "report.json").read_bytes()).entries
    assert "revision" in entry.reason


def test_bytes_that_differ_under_the_same_commit_fail(
    locked: Path, files: dict[str, bytes]
) -> None:
    """Digests are compared, too: a commit is only what somebody says it is."""
    lock = locked / "plmscan.lock"
    told = json.loads(lock.read_text(encoding="utf-8"))
    told["models"][NAME]["files"]["config.json"] = "0" * 64
    lock.write_text(json.dumps(told), encoding="utf-8")
    assert plmscan(locked, HubRepo(files), "check", *REPORT) == 1
    (report,) = survey_from_json((locked / "report.json").read_bytes()).reports
    assert [(f.rule, f.evidence.subject) for f in report.findings] == [("PLM170", "config.json")]
