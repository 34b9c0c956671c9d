"""``plmscan check A B C``: the next is made ready while one is searched, and each told in place."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plmscan.evidence import Verdict
from plmscan.reports.json_v1 import survey_from_json
from tests.hub_server import HubRepo, HubServer, serve
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import Report
    from plmscan.survey import Survey

START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from plmscan.cli import run; run()"
)
"""plmscan, which Ctrl-C reaches also where a shell has it ignored."""
QUICK = ("--effort", "quick", "--format", "json")
ONE_THREAD = (*QUICK, "--threads", "1", "--device", "cpu")
TWO = ("org/one", "org/two", *ONE_THREAD)

pytestmark = pytest.mark.long(40)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean model; read only."""
    return tiny_folder(tmp_path_factory, "clean")


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its poisoned twin; read only."""
    return tiny_folder(tmp_path_factory, "cls")


@pytest.fixture(scope="module")
def repos(clean: Path, poisoned: Path) -> dict[str, HubRepo]:
    """Three models of a Hub, of which the second is poisoned."""
    honest, planted = (
        HubRepo({path.name: path.read_bytes() for path in folder.iterdir()})
        for folder in (clean, poisoned)
    )
    return {"org/one": honest, "org/two": planted, "org/three": honest}


@dataclass(frozen=True)
class Finished:
    """What came of ``plmscan check``."""

    code: int
    """Exit code."""
    survey: Survey
    """The reports."""
    lines: list[str]
    """Of stderr."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `side_by_side` has left verdicts."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def side_by_side(repos: dict[str, HubRepo], home: Path) -> Finished:
    """The first two models, searched at the same time."""
    return finished(repos, home, *TWO, "--jobs", "2")


@pytest.fixture(scope="module")
def in_turn(repos: dict[str, HubRepo], home: Path, side_by_side: Finished) -> Finished:
    """The same once more, one after the other, though their verdicts are known."""
    return finished(repos, home, *TWO, "--no-cache")


@contextmanager
def started(hub: HubServer, home: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """``plmscan check`` in a process of its own, under way."""
    environment = hub.environment(home) | {
        "HF_HOME": str(home / "hf"),
        "PLMSCAN_CACHE": str(home / "verdicts"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", START, "check", *args],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def finished(repos: Mapping[str, HubRepo], home: Path, *args: str) -> Finished:
    """What comes of ``plmscan check`` beside a Hub."""
    with serve(repos) as hub, started(hub, home, *args) as process:
        stdout, stderr = process.communicate(timeout=300)
    return Finished(process.returncode, survey_from_json(stdout), stderr.splitlines())


def lines_until(process: subprocess.Popen[str], words: str) -> list[str]:
    """What comes on stderr up to the line with ``words``."""
    lines: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(lines)


def lasting(report: Report) -> Report:
    """The report without what a clock wrote."""
    return replace(report, probes=tuple(replace(run, seconds=0.0) for run in report.probes))


def timeless(line: str) -> str:
    """A line of stderr without what a clock wrote."""
    return re.sub(r" in \d+\.\d s|: about .*", "", line)


def children(process: subprocess.Popen[str]) -> set[int]:
    """The processes that ``process`` has started and that still run."""
    found = Path(f"/proc/{process.pid}/task").glob("*/children")
    return {int(pid) for file in found for pid in file.read_text(encoding="ascii").split()}


def test_the_next_is_fetched_while_one_is_searched_and_no_other(
    repos: dict[str, HubRepo], tmp_path: Path
) -> None:
    """When the search of the first ends the second has been fetched; nobody asked for the third."""
    with serve(repos) as hub, started(hub, tmp_path, *repos, *QUICK) as process:
        lines = lines_until(process, "gradient-attention: ")
        asked = list(hub.requests)
        process.kill()
    assert "[2/3]" not in "".join(lines)
    assert any("/org/two/resolve/" in one and "model.safetensors" in one for one in asked)
    assert not any("org/three" in one for one in asked)


def test_a_model_made_ready_ahead_is_told_as_if_it_were_alone(
    in_turn: Finished, repos: dict[str, HubRepo], tmp_path: Path
) -> None:
    """The same report at its place, and the same lines behind those of the model before it."""
    alone = finished(repos, tmp_path, "org/two", *ONE_THREAD, "--no-cache")
    assert in_turn.code == 1
    assert [entry.model for entry in in_turn.survey.entries] == ["org/one", "org/two"]
    assert alone.survey.only is not None
    assert lasting(in_turn.survey.reports[1]) == lasting(alone.survey.only)
    (mark,) = [number for number, line in enumerate(in_turn.lines) if "[2/2]" in line]
    behind = in_turn.lines[mark + 1 : -1]
    assert list(map(timeless, behind)) == list(map(timeless, alone.lines[:-1]))


def test_models_that_are_searched_side_by_side_have_the_same_reports(
    side_by_side: Finished, in_turn: Finished, repos: dict[str, HubRepo], home: Path
) -> None:
    """In their order, with one exit code; on as many threads no digit differs, nor does the key."""
    both = side_by_side
    (mark,) = [number for number, line in enumerate(both.lines) if "[2/2]" in line]
    assert any("searched beside 1 other model: about 1.4 GB" in line for line in both.lines[mark:])
    kept = finished(repos, home, *TWO)
    assert (both.code, kept.code, in_turn.code) == (1, 1, 1)
    assert kept.survey == both.survey
    assert sum("earlier scan" in line for line in kept.lines) == 2
    assert not any("earlier scan" in line for line in in_turn.lines)
    assert tuple(map(lasting, in_turn.survey.reports)) == tuple(map(lasting, both.survey.reports))


def test_what_goes_wrong_ahead_is_told_in_its_place(
    repos: dict[str, HubRepo], tmp_path: Path
) -> None:
    """A model that the Hub does not have is an error of its own, and the others are searched."""
    named = ("org/one", "org/none", "org/three")
    done = finished(repos, tmp_path, *named, *QUICK)
    assert done.code == 2
    verdicts = [entry.verdict for entry in done.survey.entries]
    assert verdicts == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.PASS]
    (error,) = [number for number, line in enumerate(done.lines) if "error: " in line]
    assert "error: org/none: There is no folder org/none" in done.lines[error]
    assert "[2/3]" in done.lines[error - 1]
    assert "[3/3]" in done.lines[error + 1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the processes of a process")
def test_ctrl_c_ends_the_search_and_what_is_made_ready(
    repos: dict[str, HubRepo], tmp_path: Path
) -> None:
    """Exit code 130 at once, though the Hub is slow with the second; no worker is left."""
    slow = {**repos, "org/two": replace(repos["org/two"], delay=5.0)}
    with serve(slow) as hub, started(hub, tmp_path, *slow, *QUICK) as process:
        lines_until(process, "loading: completed")
        workers = children(process)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        waited = time.monotonic() - began
        assert any("org/two" in request for request in hub.requests)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.endswith("plmscan: error: interrupted; there is no verdict.\n")
    assert waited < 4
    assert workers
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
