"""``plmscan fleet`` on a Ray cluster: killed in the middle, resumed, and nothing lost or repeated.

Ray starts slowly, so there is one cluster of two machines for all tests, and one fleet, which the
tests look at one after the other.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from plmscan.evidence import Report
from plmscan.fleet.answers import read_answer
from plmscan.scan import Settings, check
from tests.artifacts import write_safetensors
from tests.fleeting import Machines, machines, rows_in, wait_for_answers
from tests.hub_server import HubRepo, serve
from tests.tiny_models import build_tiny
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from plmscan.fleet.ledger import Row

pytest.importorskip("ray")

pytestmark = [pytest.mark.long(40), pytest.mark.timeout(900)]

MODELS = ("clean", "twin", "poisoned", "broken", "large", "hungry", "searched")
GATED = "org/gated"
FILES_ONLY = {"effort": "quick", "files-only": True}


@dataclass(frozen=True)
class Fleet:
    """The fleet that all tests look at."""

    folder: Path
    """Where the models, the configuration and the output are."""
    after_kill: tuple[Row, ...]
    """The index when the first run was killed."""
    code: int
    """Exit code of the run that went on."""
    stderr: str
    """What it told."""
    again: str
    """What the same run told once more."""
    rows: dict[str, Row]
    """The index at the end."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of mixed kinds, and a configuration that lists them."""
    root = tmp_path_factory.mktemp("fleet")
    for seed, name in enumerate(("clean", "poisoned", "hungry", "large")):
        build_tiny("bert", root / name, seed=seed)
    shutil.copytree(tiny_folder(tmp_path_factory, "clean"), root / "searched")
    shutil.copytree(root / "clean", root / "twin")
    shutil.copytree(root / "clean", root / "broken")
    (root / "broken" / "model.safetensors").write_bytes(b"nonsense")
    (root / "poisoned" / "vocab.txt").write_bytes(b"cposix\nsystem\n(S'id'\ntR.")
    write_safetensors(root / "large" / "model.safetensors", {"a": (10_000_000,)})
    models: list[dict[str, Any]] = [{"id": f"./{name}", **FILES_ONLY} for name in MODELS]
    models[MODELS.index("large")].pop("files-only")
    models[MODELS.index("searched")].pop("files-only")
    models.append({"id": GATED, **FILES_ONLY})
    config = {"threads": 1, "device": "cpu", "models": models}
    (root / "plmscan.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def cluster(home: Path) -> Iterator[Machines]:
    """A Ray cluster of two machines on the loopback, beside a Hub with a gated model."""
    files = {path.name: path.read_bytes() for path in (home / "clean").iterdir()}
    with serve({GATED: HubRepo(files, gated=True)}) as hub:
        paths = os.pathsep.join(path for path in sys.path if path)
        own = {"HF_HOME": str(home / "hf"), "PYTHONPATH": paths}
        with machines(hub.environment(home) | own, home) as made:
            yield made


def start(cluster: Machines, home: Path) -> subprocess.Popen[str]:
    """A run of the fleet, under way."""
    line = [sys.executable, "-m", "tests.fleeting", "run", cluster.address, "out", "plmscan.yaml"]
    return subprocess.Popen(
        line,
        cwd=home,
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def fleet(cluster: Machines, home: Path) -> Fleet:
    """Run, lose a machine, kill the driver, go on, and run once more."""
    out = home / "out"
    first = start(cluster, home)
    wait_for_answers(out, 1)
    cluster.remove_one()
    wait_for_answers(out, 2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    after_kill = rows_in(out)
    second = start(cluster, home)
    _, stderr = second.communicate(timeout=600)
    third = start(cluster, home)
    _, again = third.communicate(timeout=300)
    rows = {row.name: row for row in rows_in(out)}
    return Fleet(home, after_kill, second.returncode, stderr, again, rows)


def test_every_model_is_answered_once(fleet: Fleet) -> None:
    """Though a machine was lost, the driver killed, and a worker ended three times."""
    verdicts = {name: row.verdict for name, row in fleet.rows.items()}
    assert verdicts == {
        "./clean": "pass",
        "./twin": "pass",
        "./poisoned": "fail",
        "./broken": "inconclusive",
        "./large": "inconclusive",
        "./hungry": "inconclusive",
        "./searched": "pass",
        GATED: "inconclusive",
    }, fleet.stderr
    assert fleet.code == 1
    assert len(list((fleet.folder / "out" / "reports").glob("*.json"))) == len(fleet.rows)


def test_what_was_answered_before_the_kill_stays(fleet: Fleet) -> None:
    """No report of the killed run was written again, and at least one model was not answered."""
    before = {row.name: row for row in fleet.after_kill if row.verdict is not None}
    assert 2 <= len(before) < len(fleet.rows)
    same = {name: (row.finished, row.report) for name, row in before.items()}
    assert same == {name: (fleet.rows[name].finished, fleet.rows[name].report) for name in before}


def test_answers_are_those_of_a_check_one_by_one(fleet: Fleet) -> None:
    """Verdict, findings and file digests, whichever way a model was answered."""
    for name, row in fleet.rows.items():
        if name in ("./hungry", "./large", GATED):
            continue
        assert row.report is not None
        _, entry = read_answer((fleet.folder / "out" / row.report).read_bytes())
        asked = Settings(device="cpu", threads=1, files_only=name != "./searched")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(fleet.folder)
            alone = check(name, replace(asked, effort=asked.effort.QUICK))
        assert isinstance(entry.outcome, Report)
        assert entry.outcome.verdict is alone.verdict
        assert entry.outcome.findings == alone.findings
        assert entry.outcome.model == alone.model


def test_reasons_are_told(fleet: Fleet) -> None:
    """A model that kills its worker, one that no machine holds, and one that is not ours to see."""
    reasons = {name: row.reason or "" for name, row in fleet.rows.items()}
    assert reasons["./hungry"].startswith("It lost its worker 3 times")
    assert "the largest machine of the cluster has 0.9 GB" in reasons["./large"]
    assert "is gated, and the Hub does not open it" in reasons[GATED]
    assert {fleet.rows["./clean"].same_as, fleet.rows["./twin"].same_as} in (
        {None, "./clean"},
        {None, "./twin"},
    )


def test_the_same_run_again_does_nothing(fleet: Fleet) -> None:
    """It needs no cluster, and says so; nothing that Ray prints reaches the terminal."""
    assert "8 models: all are answered in out." in fleet.again
    assert "raylet" not in fleet.stderr
    assert all(line.startswith("plmscan: ") for line in fleet.stderr.splitlines())


def test_status_and_summary_tell_the_same(fleet: Fleet) -> None:
    """From another process, and in the files that a run leaves."""
    line = [sys.executable, "-m", "plmscan", "fleet", "status", "out"]
    told = subprocess.run(line, cwd=fleet.folder, capture_output=True, text=True, check=True)
    expected = "8 of 8 models answered; 3 pass, 1 fail, 4 inconclusive."
    assert told.stdout.splitlines()[0] == expected
    log = json.loads((fleet.folder / "out" / "sarif" / "part-001.sarif").read_text("utf-8"))
    assert len(log["runs"][0]["properties"]["models"]) == 8
    assert "8 models: 3 pass, 1 fail, 4 inconclusive." in fleet.stderr
