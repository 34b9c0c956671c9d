"""The pre-commit hook, run by pre-commit where it is installed, and by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from plmscan.kinds import WEIGHT_SUFFIXES
from plmscan.source.files import READ

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
CONFIGURED = "models:\n  - ./missing\n"
"""A configuration with a model that is not there: plmscan must say so, and fail."""

needs_pre_commit = pytest.mark.skipif(
    find_spec("pre_commit") is None, reason="pre-commit is not installed; it is no dependency"
)


@pytest.fixture(scope="module")
def hook() -> Any:  # noqa: ANN401 - parsed YAML
    """The only hook of the manifest."""
    (told,) = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return told


def environment(home: Path) -> dict[str, str]:
    """The variables of a person at ``home``."""
    kept = {name: os.environ[name] for name in ("PATH", "PLMSCAN_CACHE") if name in os.environ}
    ours = {"HOME": str(home), "PRE_COMMIT_HOME": str(home / "cache"), "HF_HUB_OFFLINE": "1"}
    return {**kept, **ours, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def ran(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in ``folder``."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "path",
    [
        "plmscan.yaml",
        "plmscan.lock",
        "pyproject.toml",
        "models/intent/config.json",
        "models/intent/model.safetensors",
        "models/intent/tokenizer_config.json",
        "models/intent/sentencepiece.bpe.model",
        "pytorch_model-00001-of-00002.bin",
        "chat_template.jinja",
        "modules.json",
        "2_Dense/config.json",
        "adapter_config.json",
        "router_config.json",
        "modeling_x.py",
        "additional_chat_templates/tool_use.jinja",
        ".hidden/special_tokens_map.json",
        "model_head.pkl",
        "onnx/model.onnx_data",
    ],
)
def test_it_looks_at_files_that_say_which_models_are_used(hook: Any, path: str) -> None:  # noqa: ANN401
    """A change of configuration, lock file or model file calls for a check."""
    assert re.search(hook["files"], path)


def test_it_looks_at_all_that_a_check_reads(hook: Any) -> None:  # noqa: ANN401
    """Its pattern is made from the list of files that `plmscan check` reads."""
    names = [pattern.replace("*", "x") for pattern in READ]
    names += [f"sub/x{suffix}" for suffix in WEIGHT_SUFFIXES]
    assert [name for name in names if not re.search(hook["files"], name)] == []


@pytest.mark.parametrize(
    "path", ["README.md", "src/main.rs", "package.json", "my-plmscan.yaml.md", "config.json.md"]
)
def test_it_leaves_other_changes_alone(hook: Any, path: str) -> None:  # noqa: ANN401
    """A check takes minutes; a change of text needs none."""
    assert not re.search(hook["files"], path)


def test_it_is_asked_once_and_about_the_configuration(hook: Any) -> None:  # noqa: ANN401
    """File names are no models, and two checks at once would be slower than one after the other."""
    assert hook["id"] == "plmscan"
    assert hook["language"] == "python"
    assert hook["pass_filenames"] is False
    assert hook["require_serial"] is True
    # A hook for pushes alone would never run for who installed only the usual one.
    assert {"pre-commit", "pre-push", "manual"} == set(hook["stages"])


def test_its_entry_checks_the_models_of_the_configuration(
    hook: Any,  # noqa: ANN401 - parsed YAML
    tmp_path: Path,
) -> None:
    """Without an argument `plmscan check` reads plmscan.yaml (depends on the config reader)."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "plmscan.yaml").write_text(CONFIGURED, encoding="utf-8")
    name, *arguments = hook["entry"].split()
    assert name == "plmscan"
    done = ran(sys.executable, "-m", "plmscan", *arguments, folder=work)
    assert done.returncode == 2
    assert "There is no folder './missing'" in done.stdout


@needs_pre_commit
def test_pre_commit_knows_the_manifest() -> None:
    """Its own validation finds nothing."""
    done = ran(
        sys.executable,
        "-m",
        "pre_commit",
        "validate-manifest",
        str(MANIFEST),
        folder=MANIFEST.parent,
    )
    assert (done.returncode, done.stdout) == (0, "")


@needs_pre_commit
@pytest.mark.parametrize(
    ("files", "code", "told"),
    [
        ({"plmscan.yaml": CONFIGURED, "README.md": ""}, 1, "There is no folder './missing'"),
        ({"README.md": ""}, 0, "(no files to check)Skipped"),
    ],
)
def test_pre_commit_runs_it(
    hook: Any,  # noqa: ANN401 - parsed YAML
    tmp_path: Path,
    files: Mapping[str, str],
    code: int,
    told: str,
) -> None:
    """It stops the commit of a model that does not pass (depends on the config reader)."""
    work = tmp_path / "work"
    work.mkdir()
    # The environment that pre-commit would build has all that this one has.
    ours = {**hook, "language": "system", "entry": f"{sys.executable} -m {hook['entry']}"}
    local = {"repos": [{"repo": "local", "hooks": [ours]}]}
    for name, text in {**files, ".pre-commit-config.yaml": yaml.safe_dump(local)}.items():
        (work / name).write_text(text, encoding="utf-8")
    assert ran("git", "init", "--quiet", folder=work).returncode == 0
    assert ran("git", "add", ".", folder=work).returncode == 0
    done = ran(sys.executable, "-m", "pre_commit", "run", "--all-files", folder=work)
    assert done.returncode == code, done.stdout
    assert told in done.stdout
