"""What the README shows can be pasted: the configuration, the Action, the hook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from plmscan.config import read_config
from plmscan.evidence import Verdict
from plmscan.reports import Format

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The YAML block that begins with a comment that names the file ``name``."""
    (found,) = re.findall(rf"```yaml\n# {re.escape(name)}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_configuration_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key of it exists, and every value is allowed."""
    monkeypatch.chdir(tmp_path)
    Path("plmscan.yaml").write_text(block("plmscan.yaml"), encoding="utf-8")
    config = read_config(Path("plmscan.yaml"))
    assert len(config.models) == 2
    assert len(config.ignores) == 1


def test_the_workflow_uses_the_action_as_it_is() -> None:
    """It gives inputs and reads outputs that exist, and asks for permissions by job."""
    workflow = yaml.safe_load(block(".github/workflows/models.yml"))
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["models"]["steps"]
    (ours,) = (step for step in steps if step.get("id") == "plmscan")
    assert set(ours["with"]) <= set(action["inputs"])
    read = set(
        re.findall(r"steps\.plmscan\.outputs\.([a-z-]+)", block(".github/workflows/models.yml"))
    )
    assert read <= set(action["outputs"])
    assert workflow["permissions"] == {}


def test_the_hook_is_one_that_exists() -> None:
    """By its id."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    shown = yaml.safe_load(block(".pre-commit-config.yaml"))
    ids = [hook["id"] for repo in shown["repos"] for hook in repo["hooks"]]
    assert ids == [hook["id"] for hook in hooks]


@pytest.mark.parametrize("name", Format)
def test_every_format_is_explained(name: str) -> None:
    """Each has a row in the table of reports."""
    assert re.search(rf"^\| .*`{name}`.* \|", README, re.MULTILINE)


def test_every_verdict_has_its_exit_code_in_the_table() -> None:
    """As the code has it."""
    for verdict in Verdict:
        assert f"| {verdict.value} | {verdict.name.lower()}" in README
