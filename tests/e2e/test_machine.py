"""What the machine lacks is told by its name: variables, libraries, room, letters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.cli.terminal.machine import trouble
from plmscan.reports.json_v1 import from_json
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

ODD = "mödel\udcff"
"""A folder whose name is neither ASCII nor UTF-8."""
HIDING_TORCH = """
import sys

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, Hiding())
"""


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model without faults; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("intact"))


def start(
    *args: str | Path, cwd: Path, redirected: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """``plmscan`` in a process of its own, with redirections as a shell has them."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "LC_", "LANG"))}
    command = [sys.executable, "-m", "plmscan", *map(str, args)]
    if redirected:
        command = ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", *command]
    return subprocess.run(
        command,
        cwd=cwd,
        env=inherited | {"HOME": str(cwd)} | environment,
        capture_output=True,
        check=False,
        timeout=120,
    )


def assert_one_sentence(stderr: bytes, words: str) -> None:
    """The last line is an error that says so, and nothing is blamed on plmscan."""
    *_, last = stderr.decode().splitlines()
    assert last.startswith("plmscan: error: ")
    assert words in last
    assert b"Traceback" not in stderr
    assert b"has a bug" not in stderr


def test_a_small_alphabet_keeps_the_exit_code(tmp_path: Path, intact: Path) -> None:
    """A model that fails, with names that no locale here can write, in every report."""
    model = tmp_path / ODD
    shutil.copytree(intact, model)
    config = json.loads((model / "config.json").read_text())
    changed = config | {"auto_map": {"AutoModel": "modeling_ö.Net"}}
    (model / "config.json").write_text(json.dumps(changed, ensure_ascii=False), encoding="utf-8")
    forms = ("json", "sarif", "markdown", "html", "in-toto", "cyclonedx")
    locale = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }
    reports = (f"--report={form}={ODD}.{form}" for form in forms)
    done = start("check", ODD, "--files-only", "--verbose", *reports, cwd=tmp_path, **locale)
    assert done.returncode == 1, done.stderr
    assert b"PLM110" in done.stdout
    assert done.stdout.isascii()
    assert b"Traceback" not in done.stderr
    for form in forms:
        assert (tmp_path / f"{ODD}.{form}").read_text(encoding="utf-8")
    again = start("judge", f"{ODD}.json", "--format", "html", cwd=tmp_path, **locale)
    assert again.returncode == 1, again.stderr
    locked = start("lock", f"./{ODD}", cwd=tmp_path, **locale)
    assert locked.returncode == 2
    assert_one_sentence(locked.stderr, "is no UTF-8 text, so that no lock file can hold it")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--version",), "The output cannot be written: No space left"),
        (("rules",), "The output cannot be written: No space left"),
        (
            ("check", "{model}", "--files-only"),
            "cannot be written to the standard output: No space left on device. Make room",
        ),
    ],
    ids=["version", "rules", "check"],
)
def test_a_full_output_is_one_sentence(
    tmp_path: Path, intact: Path, args: tuple[str, ...], words: str
) -> None:
    """Exit code 2: whoever reads the output did not get it."""
    told = (arg.format(model=intact) for arg in args)
    done = start(*told, cwd=tmp_path, redirected=">/dev/full")
    assert (done.returncode, done.stdout) == (2, b"")
    assert_one_sentence(done.stderr, words)


@pytest.mark.parametrize("redirected", ["2>/dev/full", ">&- 2>&-"])
def test_the_verdict_counts_where_nobody_listens(
    tmp_path: Path, intact: Path, redirected: str
) -> None:
    """A full or closed place for remarks takes nothing from a pass."""
    done = start("check", intact, "--files-only", cwd=tmp_path, redirected=redirected)
    assert done.returncode == 0
    assert b"Traceback" not in done.stdout + done.stderr


def test_without_torch_the_library_is_named(tmp_path: Path, intact: Path) -> None:
    """The files are checked without it; a model is not, and the sentence says what is missing."""
    (tmp_path / "sitecustomize.py").write_text(HIDING_TORCH)
    search = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = start("check", intact, cwd=tmp_path, PYTHONPATH=search)
    assert (done.returncode, done.stdout) == (2, b"")
    words = "The library torch cannot be imported: No module named 'torch'. Install plmscan again"
    assert_one_sentence(done.stderr, words)
    files = start("check", intact, "--files-only", "--quiet", cwd=tmp_path, PYTHONPATH=search)
    assert files.returncode == 0, files.stderr


def test_a_broken_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its import raises, and however deep: the library that broke, not the one above."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "upper_library.py").write_text("import lower_library.part\n")
    (tmp_path / "lower_library").mkdir()
    (tmp_path / "lower_library" / "__init__.py").write_text("")
    (tmp_path / "lower_library" / "part.py").write_text("raise OSError('lib.so: no such file')\n")
    with pytest.raises(OSError, match="lib") as caught:
        __import__("upper_library")
    told = trouble(caught.value)
    assert told is not None
    assert told.problem == "The library lower_library cannot be imported: lib.so: no such file."
    assert trouble(ValueError("a fault of our own")) is None
    assert trouble(ImportError("of our own", name="plmscan.nothing")) is None


VARIABLES = {
    "certificates that are not there": ({"SSL_CERT_FILE": "/none"}, "which cannot be read: No"),
    "certificates that are a folder": ({"SSL_CERT_FILE": "/"}, "which cannot be read: Is a"),
    "certificates that are none": ({"SSL_CERT_FILE": __file__}, "which holds no certificate"),
    "proxy of another kind": ({"HTTPS_PROXY": "ftp://u:secret@h:1"}, "HTTPS_PROXY does not name"),
    "proxy that is no address": ({"https_proxy": "http://[::1"}, "https_proxy does not name a"),
    "SOCKS": ({"ALL_PROXY": "socks5://u:secret@h:1"}, "ALL_PROXY names a SOCKS proxy, which needs"),
    "token": ({"HF_TOKEN": "sec\u00f6secret"}, "HF_TOKEN holds letters that no token has"),
    "timeout of letters": (
        {"HF_HUB_DOWNLOAD_TIMEOUT": "ten"},
        "HF_HUB_DOWNLOAD_TIMEOUT is 'ten', and must be a whole number of seconds.",
    ),
    "timeout below nothing": ({"HF_HUB_ETAG_TIMEOUT": "-1"}, "HF_HUB_ETAG_TIMEOUT is '-1', and"),
    "timeout without end": ({"HF_HUB_ETAG_TIMEOUT": "9" * 30}, "must be a whole number of seconds"),
    "no timeout": ({"HF_HUB_DOWNLOAD_TIMEOUT": " "}, "Connection refused"),
}


@pytest.mark.parametrize(("variables", "words"), VARIABLES.values(), ids=VARIABLES)
def test_a_variable_that_keeps_from_the_network_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    """Cause and remedy in one sentence, and no password of it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:9")
    result = CliRunner().invoke(app, ["check", "org/name"], prog_name="plmscan")
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert_one_sentence(result.stderr.encode(), words)
    assert "secret" not in result.stderr


def test_a_working_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths mean nothing there."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = CliRunner().invoke(app, ["check", "a/b", "--config", "c.yaml"], prog_name="plmscan")
    monkeypatch.chdir(tmp_path)
    assert result.exit_code == 2
    assert_one_sentence(result.stderr.encode(), "The working folder is gone. Change to a folder")


def test_a_folder_needs_no_network(intact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables about the network do not matter where nobody is asked."""
    monkeypatch.setenv("SSL_CERT_FILE", "/none")
    monkeypatch.setenv("ALL_PROXY", "socks5://h:1")
    command = ["check", str(intact), "--files-only", "--format", "json"]
    result = CliRunner().invoke(app, command, prog_name="plmscan")
    assert (result.exit_code, from_json(result.stdout).verdict.value) == (0, 0)
