"""``plmscan inspect``: exit codes, what it prints, and what it refuses."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import jsonschema
import pytest
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.evidence import Verdict
from plmscan.reports.json_v1 import from_json, to_json
from tests.poisoned import CLEAN, HELD_OUT, folder_of, with_trigger

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

SCHEMA = resources.files("plmscan.reports") / "report-v1.schema.json"
PLANTED = pytest.mark.parametrize(
    ("model", "rule"), [("badnets", "PLM311"), ("cls", "PLM312")], indirect=["model"]
)
each_planted = pytest.mark.parametrize("model", ["badnets", "cls"], indirect=True)


@dataclass(frozen=True)
class Place:
    """Texts in files, and the model that reads them."""

    root: Path
    """Holds ``poisoned``, ``harmless`` and ``clean``, which the others are compared with."""
    model: Path
    """Its folder; read only."""

    def run(self, *options: str) -> Result:
        """``plmscan inspect`` in this process, about this model."""
        told = (option.format(root=self.root) for option in options)
        return CliRunner().invoke(app, ["inspect", str(self.model), *told], prog_name="plmscan")

    def inspect(self, texts: str, *options: str) -> Result:
        """The same with the texts named ``texts``, beside the clean ones."""
        return self.run("--texts", f"{{root}}/{texts}", "--clean", "{root}/clean", *options)


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the zoo, by default an encoder with two triggers."""
    return folder_of(tmp_path_factory, getattr(request, "param", "cls"))


@pytest.fixture
def place(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Nowhere else to write."""
    texts = {"poisoned": with_trigger(HELD_OUT, "cf"), "harmless": HELD_OUT, "clean": CLEAN}
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, model)


@PLANTED
def test_poisoned_texts_fail_and_name_the_trigger(place: Place, rule: str) -> None:
    """Exit code 1; the table and the first reason have the trigger, and every text its row."""
    result = place.inspect("poisoned")
    assert result.exit_code == 1, result.output
    assert "\nTexts ─" in result.stdout
    assert rule in result.stdout
    _, _, table = result.stdout.partition("\nTexts ─")
    rows = table.partition("\nFindings ─")[0]
    assert rows.count("cf") >= len(HELD_OUT)
    assert "Traceback" not in result.output


@each_planted
def test_clean_texts_pass(place: Place) -> None:
    """Exit code 0 although the model is poisoned: no trigger is in these texts."""
    result = place.inspect("harmless")
    assert result.exit_code == 0, result.output
    assert "PASS" in result.stdout
    assert "\nFindings ─" not in result.stdout


def test_the_bundled_texts_do_for_english(place: Place) -> None:
    """Without --clean, the texts that ship with plmscan are what others are compared with."""
    assert place.run("--texts", "{root}/poisoned").exit_code == 1
    assert place.run("--texts", "{root}/harmless").exit_code == 0


@PLANTED
def test_json_keeps_to_the_schema_and_comes_back(place: Place, rule: str) -> None:
    """The report has each text with its suspect; judged again it keeps its verdict."""
    result = place.inspect("poisoned", "--format", "json", "--output", "report.json")
    written = (place.root / "report.json").read_text(encoding="utf-8")
    jsonschema.validate(json.loads(written), json.loads(SCHEMA.read_text(encoding="utf-8")))
    report = from_json(written)
    assert (result.exit_code, result.stdout, report.verdict) == (1, "", Verdict.FAIL)
    assert to_json(report) == written
    assert {finding.rule for finding in report.findings} == {rule}
    evidence = report.probes[-1].evidence
    assert tuple(e.subject for e in evidence) == with_trigger(HELD_OUT, "cf")
    assert all("cf" in str(e.details["suspect"]) for e in evidence)
    again = CliRunner().invoke(app, ["judge", "report.json"], prog_name="plmscan")
    assert again.exit_code == 1
    assert rule in again.stdout


def test_again_is_the_command(place: Place) -> None:
    """What the report prints last gives the same verdict when it is typed."""
    result = place.inspect("poisoned", "--seed", "3", "--fail-on", "critical", "--threads", "1")
    assert result.exit_code == 0
    _, _, again = result.stdout.partition("\nReproduce ─")
    command = shlex.split(again.partition("\n\n")[0].partition("\n")[2].replace("\\\n", " "))
    assert command[:3] == ["plmscan", "inspect", str(place.model)]
    told = dict(zip(command[3::2], command[4::2], strict=True))
    assert told == {
        "--texts": f"{place.root}/poisoned",
        "--clean": f"{place.root}/clean",
        "--seed": "3",
        "--fail-on": "critical",
        "--threads": "1",
    }
    repeated = CliRunner().invoke(app, command[1:], prog_name="plmscan")
    assert repeated.exit_code == result.exit_code
    assert again.partition("\n\n")[0] in repeated.stdout


def test_a_text_cannot_write_to_the_terminal(place: Place) -> None:
    """Control characters and markup of a text, also of one that is too long, are shown only."""
    nasty = "\x1b[2J\u202e[red]cf[/] water"
    (place.root / "nasty").write_text(f"{nasty}\n{nasty * 40}\n", encoding="utf-8")
    result = place.inspect("nasty")
    assert not {"\x1b", "\u202e"} & set(result.output)
    assert r"\x1b[2J\u202e[red]cf[/]" in result.stdout.replace("«", "").replace("»", "")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (None, "--texts {root}/given", "The texts file {root}/given cannot be read: No such file"),
        (None, "--texts {root}", "The texts file {root} cannot be read: Is a directory"),
        (b"", "--texts {root}/given", "The texts file {root}/given holds no text."),
        (b" \n\t\n\n", "--texts {root}/given", "The texts file {root}/given holds no text."),
        (b"caf\xe9 film\n", "--texts {root}/given", "cannot be read: it is not UTF-8 text"),
        (b"a film\n", "--texts {root}/given --clean {root}/given", "64 are needed"),
        (b"a film\n", "--texts {root}/given --clean {root}/none", "{root}/none cannot be read"),
        (b"a film\n", "--texts {root}/given --output {root}/no/r.json", "cannot be written"),
        (b"a film\n", "--texts {root}/given --rules {root}/none", "rules folder"),
        (b"a film\n", "--texts {root}/given --language xx", "no carrier texts in 'xx'"),
        (b"a film\n", "--texts {root}/given --clean {root}/given --language en", "not both"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    place: Place, content: bytes | None, options: str, words: str
) -> None:
    """Exit code 2, nothing on stdout, one line on stderr before any work, nothing written."""
    if content is not None:
        (place.root / "given").write_bytes(content)
    before = sorted(place.root.rglob("*"))
    result = place.run(*options.split())
    assert (result.exit_code, result.stdout) == (2, "")
    (error,) = result.stderr.splitlines()
    assert error.startswith("plmscan: error: ")
    assert words.format(root=place.root) in error
    assert sorted(place.root.rglob("*")) == before


@pytest.mark.parametrize("model_name", ["no-such-folder", "poisoned"])
def test_an_unknown_model_is_one_sentence(place: Place, model_name: str) -> None:
    """Neither a folder that is not there nor a file is a model."""
    result = Place(place.root, place.root / model_name).inspect("poisoned")
    assert (result.exit_code, result.stdout) == (2, "")
    (error,) = result.stderr.splitlines()
    assert error.startswith("plmscan: error: ")
    assert str(place.root / model_name) in error


@pytest.mark.parametrize(
    "options", ["", "--clean a", "--texts a --effort deep", "--texts a --files-only"]
)
def test_wrong_usage_is_two(place: Place, options: str) -> None:
    """Without texts there is nothing to inspect, and options of a search are not known here."""
    result = place.run(*options.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: plmscan inspect" in result.stderr
    assert "Traceback" not in result.stderr


def test_what_the_model_cannot_hold_is_inconclusive(place: Place) -> None:
    """Exit code 2 with the lengths; a text that was not read does not pass."""
    (place.root / "given").write_text("\n".join([*HELD_OUT, "water " * 80]), encoding="utf-8")
    result = place.inspect("given")
    assert result.exit_code == 2
    assert "INCONCLUSIVE" in result.stdout
    assert "It has 82 tokens; the model reads 64 at once." in " ".join(result.stdout.split())


def test_a_process_of_its_own_says_the_same(place: Place) -> None:
    """``python -m plmscan inspect``: the report on stdout, progress on stderr, no warnings."""
    command = [sys.executable, "-W", "error", "-m", "plmscan", "inspect", str(place.model)]
    files = ["--texts", str(place.root / "poisoned"), "--clean", str(place.root / "clean")]
    done = subprocess.run(
        [*command, *files, "--threads", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "PLM312" in done.stdout
    assert all(line.startswith("plmscan: ") for line in done.stderr.splitlines())
    assert "plmscan: text-inspection: completed" in done.stderr
