"""``plmscan check org/name`` as a pipeline runs it: a process, a Hub, a cache, an exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from plmscan.reports.json_v1 import from_json
from tests.hub_server import GOOD_TOKEN, KNOWN_TOKEN, HubRepo, HubServer, serve
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from plmscan.evidence import ProbeRun, Report

SMALL = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights"}
"""Enough to be fetched; nobody loads it."""

HURRIED = """
import time

sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds / 100)

from plmscan.cli import run

run()
"""
"""plmscan, where a pause between two attempts takes a hundredth of its time."""


@dataclass(frozen=True)
class Runner:
    """A machine that knows one Hub."""

    hub: HubServer
    """The Hub."""
    home: Path
    """The only folder that it may write to."""
    program: tuple[str, ...] = ("-m", "plmscan")
    """What Python runs."""

    def check(self, *args: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        """``plmscan check`` in a process of its own."""
        environment = self.hub.environment(self.home, token)
        environment |= {"HF_HOME": str(self.home / "hf"), "HF_HUB_DOWNLOAD_TIMEOUT": "3"}
        command = [sys.executable, *self.program, "check", *args]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )


def repo_of(folder: Path) -> HubRepo:
    """The model in ``folder`` as a repository."""
    return HubRepo({path.name: path.read_bytes() for path in folder.iterdir()})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HubRepo]:
    """A clean model and its poisoned twin."""
    return {
        "org/clean": repo_of(tiny_folder(tmp_path_factory, "clean")),
        "org/poisoned": repo_of(tiny_folder(tmp_path_factory, "cls")),
    }


@pytest.fixture
def runner(models: dict[str, HubRepo], tmp_path: Path) -> Iterator[Runner]:
    """A machine with an empty home, and a Hub with both models."""
    (tmp_path / "home").mkdir()
    with serve(models) as hub:
        yield Runner(hub, tmp_path / "home")


def lasting(report: Report) -> Report:
    """The report without what two runs may differ in: times, and how the files were found."""

    def timeless(run: ProbeRun) -> ProbeRun:
        return replace(run, seconds=0.0)

    settings = {k: v for k, v in report.settings.items() if k not in {"offline", "revision"}}
    return replace(report, probes=tuple(map(timeless, report.probes)), settings=settings)


@pytest.mark.long(15)
def test_a_pinned_model_passes_and_again_from_the_cache(
    runner: Runner, models: dict[str, HubRepo]
) -> None:
    """The report names the commit behind the branch; offline, the same commit gives the same."""
    sha = models["org/clean"].sha
    options = ("--effort", "quick", "--format", "json")
    online = runner.check("org/clean", "--revision", "main", *options)
    asked = len(runner.hub.requests)
    offline = runner.check("org/clean", "--revision", sha, "--offline", *options)
    assert (online.returncode, offline.returncode) == (0, 0), online.stderr + offline.stderr
    assert len(runner.hub.requests) == asked
    report = from_json(online.stdout)
    assert (report.model.id, report.model.revision) == ("org/clean", sha)
    assert {file.path for file in report.model.files} == set(models["org/clean"].files)
    assert report.triggers == ()
    assert lasting(from_json(offline.stdout)) == lasting(report)
    assert [path.name for path in runner.home.iterdir()] == ["hf"]


@pytest.mark.long(10)
def test_a_poisoned_model_fails_with_its_triggers_named(runner: Runner) -> None:
    """The console report on stdout says what a person needs; its command gives the same again."""
    done = runner.check("org/poisoned@main", "--effort", "quick")
    assert done.returncode == 1
    assert "FAIL  PLM201 critical: " in done.stdout
    assert "“cf”" in done.stdout
    assert "“mn”" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "plmscan check org/poisoned --revision" in " ".join(done.stdout.split()).replace(
        "\\ ", ""
    )


def test_the_report_goes_to_a_file(runner: Runner) -> None:
    """A name in .json holds the JSON report; the log tells the verdict and its reason."""
    target = runner.home / "report.json"
    done = runner.check("org/clean", "--files-only", "--output", str(target))
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads(target.read_text())["verdict"] == "pass"
    assert "plmscan: PASS: Only the files were checked." in done.stderr


def test_all_files_come_where_that_is_asked(models: dict[str, HubRepo], tmp_path: Path) -> None:
    """With --all-files what nothing loads is fetched too; --quiet says the verdict in a line."""
    repo = HubRepo({**models["org/clean"].files, "notes.md": b"words " * 2**19})
    asked = ("org/name", "--files-only", "--quiet", "--all-files")
    with serve({"org/name": repo}) as hub:
        done = Runner(hub, tmp_path).check(*asked, f"--report=json={tmp_path / 'a.json'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PASS  org/name  ")
    assert json.loads((tmp_path / "a.json").read_text())["settings"]["all_files"] is True
    (notes,) = (tmp_path / "hf").rglob("notes.md")
    assert notes.stat().st_size == 6 * 2**19


@pytest.mark.parametrize(
    ("repo", "args", "token", "words"),
    [
        ({}, "org/name", "hf_wrong", "The Hub refuses org/name to the token in use (401)."),
        ({"gated": True}, "org/name", None, "org/name is gated, and the Hub does not open it"),
        ({"gated": True}, "org/name", KNOWN_TOKEN, "org/name is gated, and the Hub does not"),
        ({"status": 403}, "org/name", None, "The Hub refuses org/name to visitors without"),
        ({"private": True}, "org/name", None, "the Hub shows no model org/name"),
        ({}, "org/other", None, "There is no folder org/other, and the Hub shows no model"),
        ({}, "org/name@v9", None, "org/name has no revision v9."),
        ({}, "org/name --revision ../../x", None, "org/name has no revision ../../x."),
        ({"cut": {"revision": 0}}, "org/name", None, "cannot be reached"),
        ({"cut": {"get": 3}}, "org/name", None, "failed twice to deliver"),
        ({"status": 503}, "org/name", None, "is out of order (503)."),
        ({}, "org/name --offline", None, "does not hold all files of org/name"),
    ],
)
def test_what_the_hub_does_not_give_is_one_sentence(
    repo: dict[str, Any], args: str, token: str | None, words: str, tmp_path: Path
) -> None:
    """Exit code 2 within seconds, one line on stderr, nothing on stdout, no traceback."""
    with serve({"org/name": HubRepo(SMALL, **repo)}) as hub:
        done = Runner(hub, tmp_path, ("-c", HURRIED)).check(*args.split(), token=token)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("plmscan: error: ")
    assert words in done.stderr


def test_the_token_opens_a_gated_model(models: dict[str, HubRepo], tmp_path: Path) -> None:
    """HF_TOKEN is the visitor's; it stands in no report and no log."""
    gated = replace(models["org/clean"], gated=True)
    with serve({"org/name": gated}) as hub:
        command = ("org/name", "--files-only", "--format", "json")
        done = Runner(hub, tmp_path).check(*command, token=GOOD_TOKEN)
    assert done.returncode == 0, done.stderr
    assert GOOD_TOKEN not in done.stdout + done.stderr


def test_ctrl_c_while_the_hub_is_slow_is_no_verdict(tmp_path: Path) -> None:
    """Exit code 130 and one line, at once."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from plmscan.cli import main; main()"
    )
    with serve({"org/name": HubRepo(SMALL, delay=2.0)}) as hub:
        environment = hub.environment(tmp_path) | {"HF_HOME": str(tmp_path / "hf")}
        with subprocess.Popen(
            [sys.executable, "-c", code, "check", "org/name"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while not hub.requests and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert stderr == "plmscan: error: interrupted; there is no verdict.\n"
