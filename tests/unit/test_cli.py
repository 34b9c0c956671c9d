"""The command line: exit codes, streams, files, and what it does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from typer.testing import CliRunner

import plmscan
from plmscan.cli import app
from plmscan.reports.json_v1 import from_json, to_json
from tests.specimens import poisoned
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typer.testing import Result

STRICT_RULE = """
id: ACME001
name: any-tensor
probe: safetensors-header
severity: high
confidence: high
when: {tensors: {gte: 1}}
message: "{subject} holds tensors."
description: Why.
remediation: What.
references: [A paper.]
since: "0.1.0"
"""
HEAVY = ("torch", "transformers", "safetensors", "py7zr", "lz4")
TELL = """
import sys
from plmscan.cli import main
try:
    main()
finally:
    print("IMPORTED", *(name for name in {names!r} if name in sys.modules), file=sys.stderr)
"""


def run(*args: str) -> Result:
    """Run plmscan in this process."""
    return CliRunner().invoke(app, args, prog_name="plmscan")


def start(*args: str, heavy: Sequence[str] = HEAVY) -> subprocess.CompletedProcess[str]:
    """Run plmscan in a process of its own, which tells what it imported."""
    code = TELL.format(names=tuple(heavy))
    command = [sys.executable, "-W", "error", "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model; read only."""
    return str(build_tiny("bert", tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a rule that every model breaks."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "strict.yaml").write_text(STRICT_RULE)
    return str(folder)


@pytest.fixture
def saved(tmp_path: Path, model: str) -> Path:
    """A saved report of a scan of the files."""
    path = tmp_path / "saved.json"
    assert run("check", model, "--files-only", "--format", "json", "--output", str(path))
    return path


@pytest.mark.parametrize("command", ["--help", "check --help", "--version", "rules --help"])
def test_help_is_quick(command: str) -> None:
    """Help needs neither torch nor the libraries that read models and rules."""
    done = start(*command.split(), heavy=(*HEAVY, "huggingface_hub", "yaml"))
    assert done.returncode == 0
    assert "plmscan" in done.stdout
    assert done.stderr.strip() == "IMPORTED"


def test_rules_need_no_torch() -> None:
    """Listing and explaining rules reads YAML, and no more."""
    listed = start("rules")
    assert (listed.returncode, listed.stderr.strip()) == (0, "IMPORTED")
    first = listed.stdout.split()[0]
    explained = start("rules", "explain", first)
    assert (explained.returncode, explained.stderr.strip()) == (0, "IMPORTED")
    assert explained.stdout.startswith(f"{first} ")
    assert "fires when" in explained.stdout


def test_a_rule_of_a_team_is_explained_wherever_its_folder_is_named(rules: str) -> None:
    """Before the command or behind the id."""
    (named,) = yaml.safe_load_all(STRICT_RULE)
    first = run("rules", "--rules", rules, "explain", named["id"])
    second = run("rules", "explain", named["id"], "--rules", rules)
    assert (first.exit_code, first.stdout) == (0, second.stdout)
    assert first.stdout.startswith(f"{named['id']} {named['name']}\n")


def test_files_and_judging_need_no_torch(model: str, saved: Path) -> None:
    """Checking the files and judging a saved report do not import torch."""
    for args in (("check", model, "--files-only"), ("judge", str(saved))):
        done = start(*args, heavy=("torch", "transformers"))
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1].strip() == "IMPORTED"
        assert "PASS" in done.stdout


def test_python_m_plmscan() -> None:
    """``python -m plmscan`` is the command."""
    command = [sys.executable, "-m", "plmscan", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"plmscan {plmscan.__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        "check a --effort huge",
        "check a --seed -1",
        "check a --seed x",
        "check a --threads 0",
        "check a --threads 100000",
        "check a --time-limit -1",
        "check a --format xml",
        "check a --fail-on awful",
        "check a --device tpu",
        "check a --precision half",
        "check a --no-such-option",
        "judge",
        "no-such-command",
        "",
    ],
)
def test_wrong_usage_is_two(args: str) -> None:
    """A typo in a pipeline is an error, not a verdict; stdout stays empty of data."""
    result = run(*args.split())
    assert result.exit_code == 2
    assert "Usage: plmscan" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("check", "{tmp}/none"), "no folder"),
        (("check", "{model}", "--rules", "{tmp}/none"), "rules folder"),
        (("check", "{model}", "--output", "{tmp}/none/r.json"), "cannot be written"),
        (("check", "{model}", "--output", "{tmp}"), "it is a folder"),
        (("check", "{model}", "--texts", "{tmp}/none"), "{tmp}/none"),
        (("check", "{model}", "--language", "en,xx"), "There are no carrier texts in 'xx'"),
        (("check", "{model}", "--texts", "x", "--language", "en"), "not both"),
        (("judge", "{tmp}/none"), "cannot be read"),
        (("judge", "{model}/config.json"), "not a plmscan.report/v1 report"),
        (("judge", "{model}/model.safetensors"), "it is not UTF-8 text"),
        (("rules", "--rules", "{tmp}/none"), "rules folder"),
        (("rules", "explain", "PLM999"), "There is no rule PLM999."),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    args: tuple[str, ...], complaint: str, model: str, tmp_path: Path
) -> None:
    """Exit code 2, nothing on stdout, the sentence on stderr, no traceback, no file left."""
    result = run(*(arg.format(tmp=tmp_path, model=model) for arg in args))
    assert (result.exit_code, result.stdout) == (2, "")
    error = result.stderr.splitlines()[-1]
    assert error.startswith("plmscan: error: ")
    assert complaint.format(tmp=tmp_path) in error
    assert list(tmp_path.iterdir()) == []


def test_exit_codes_follow_the_verdict(model: str, rules: str) -> None:
    """0 pass, 1 fail, 2 inconclusive."""
    assert run("check", model, "--files-only").exit_code == 0
    assert run("check", model, "--files-only", "--rules", rules).exit_code == 1
    assert run("check", model, "--files-only", "--rules", rules, "--fail-on", "none").exit_code == 0
    assert run("check", model, "--time-limit", "0").exit_code == 2


def test_stdout_is_data(model: str) -> None:
    """The JSON report alone is on stdout; what happens is told on stderr."""
    result = run("check", model, "--files-only", "--format", "json")
    assert from_json(result.stdout).model.id == model
    assert "plmscan: safetensors-header: completed" in result.stderr


def test_a_report_file_is_whole(model: str, tmp_path: Path) -> None:
    """--output replaces the file with the report and leaves nothing beside it."""
    target = tmp_path / "report.json"
    target.write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    result = run("check", model, "--files-only", "--format", "json", "--output", str(link))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines()[-2].startswith("plmscan: PASS: ")
    assert result.stderr.splitlines()[-1] == f"plmscan: The report is in {link}."
    assert json.loads(target.read_text())["verdict"] == "pass"
    assert link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "link.json"}


def test_a_device_is_written_to_not_replaced(model: str) -> None:
    """--output /dev/null stays a device."""
    result = run("check", model, "--files-only", "--output", os.devnull)
    assert result.exit_code == 0
    assert not os.path.isfile(os.devnull)  # noqa: PTH113 - a device


def test_judging_keeps_the_bar(saved: Path, model: str, rules: str) -> None:
    """Without --fail-on, a report is judged at the severity that it was made with."""
    args = ("check", model, "--files-only", "--fail-on", "critical", "--format", "json")
    assert run("judge", str(saved), "--rules", rules).exit_code == 1
    assert run(*args, "--output", str(saved)).exit_code == 0
    assert run("judge", str(saved), "--rules", rules).exit_code == 0
    assert run("judge", str(saved), "--rules", rules, "--fail-on", "low").exit_code == 1


def test_an_unfinished_report_does_not_pass(tmp_path: Path) -> None:
    """A saved report that lacks probes of today is inconclusive, whatever it said itself."""
    path = tmp_path / "old.json"
    path.write_text(to_json(poisoned()))
    result = run("judge", str(path), "--fail-on", "none")
    assert result.exit_code == 2
    assert "INCONCLUSIVE" in result.stdout


def test_a_replaced_rule_is_announced(tmp_path: Path, model: str) -> None:
    """Whoever replaces a packaged rule reads so on stderr."""
    first = run("rules").stdout.split()[0]
    (tmp_path / "mine.yaml").write_text(STRICT_RULE.replace("ACME001", first))
    result = run("check", model, "--files-only", "--rules", str(tmp_path))
    assert f"replaces the packaged rule {first}" in result.stderr


def broken(error: BaseException) -> object:
    """A scan that ends with ``error``."""

    def scan(*_args: object) -> Iterator[object]:
        raise error
        yield

    return scan


@pytest.mark.parametrize("debug", [False, True])
def test_a_mistake_of_plmscan_is_owned_up_to(monkeypatch: pytest.MonkeyPatch, debug: bool) -> None:
    """An unexpected error is exit code 2 and a sentence; --debug adds the traceback."""
    monkeypatch.setattr(
        "plmscan.cli.scanning.surveying.scan_events", broken(ZeroDivisionError("oh\x1b[2J"))
    )
    result = run("check", "x", *(["--debug"] if debug else []))
    assert (result.exit_code, result.stdout) == (2, "")
    assert r"has a bug (ZeroDivisionError: oh\x1b[2J)" in result.stderr
    assert ("Traceback" in result.stderr) is debug
    assert ("--debug" in result.stderr) is not debug


def test_ctrl_c_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted scan has exit code 130, which is neither pass nor fail."""
    monkeypatch.setattr("plmscan.cli.scanning.surveying.scan_events", broken(KeyboardInterrupt()))
    result = run("check", "x")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "plmscan: error: interrupted; there is no verdict.\n"


def test_a_reader_that_leaves_gets_no_verdict(model: str) -> None:
    """A closed pipe ends plmscan with exit code 2 and without a traceback."""
    command = [sys.executable, "-m", "plmscan", "check", model, "--files-only"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writing)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(("code", "status"), [("0", 0), ("1", 1), ("None", 0), ("'Why.'", 1)])
def test_leaving_tells_all_and_takes_nothing_apart(code: str, status: int) -> None:
    """What was printed arrives, the exit code is as ever, and the interpreter's end is left out."""
    script = (
        "import atexit; from plmscan.cli import leave;"
        f"atexit.register(print, 'taken apart'); print('told'); leave({code})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "told\n", "")


def test_closed_streams_change_no_exit_code() -> None:
    """Python gives a process that starts without a stdout none to flush."""
    script = "from plmscan.cli import leave; leave(0)"
    command = 'exec "$0" -c "$1" >&-'
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, script],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_cannot_be_written_is_no_pass() -> None:
    """Where the last words are lost, the exit code does not say that all is well."""
    script = "from plmscan.cli import leave; print('told'); leave(0)"
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, env=buffered, check=False, timeout=60
        )
    assert done.returncode == 2


def test_a_terminal_gets_bars(model: str) -> None:
    """Where stderr is a terminal, progress is drawn there, and stdout stays data."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "plmscan", "check", model, "--files-only", "--format", "json"]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        drawn = b"".join(iter(lambda: _read(ours), b""))
        assert process.stdout is not None
        report = from_json(process.stdout.read())
    os.close(ours)
    assert process.returncode == report.verdict.value == 0
    assert b"\x1b[" in drawn
    assert b"safetensors-header: completed" in drawn


def _read(terminal: int) -> bytes:
    """What a terminal shows next; empty once its other end is closed."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
