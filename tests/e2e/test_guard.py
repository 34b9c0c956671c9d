"""``plmscan guard``: a stream in, a stream out, in order, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from plmscan.cli.guarding.command import guard
from plmscan.cli.terminal.failures import CommandGroup
from plmscan.loading import load
from plmscan.reports.json_v1 import render, to_json
from plmscan.scan import Settings, check
from plmscan.survey import Survey
from tests.adapters import adapter_of
from tests.artifacts import artifact_of
from tests.guarding import report_on, trigger
from tests.poisoned import CLEAN, HELD_OUT, folder_of, read_rightly, with_trigger
from tests.tiny_models import build_tiny
from tests.zoo.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

POISONED = with_trigger(HELD_OUT, "cf")
PROGRAM = """
import typer
from plmscan.cli.terminal.failures import CommandGroup
from plmscan.cli.guarding.command import guard
app = typer.Typer(cls=CommandGroup)
app.callback()(lambda: None)
app.command()(guard)
app(prog_name="plmscan")
"""
"""The command by itself."""

app = typer.Typer(cls=CommandGroup, rich_markup_mode=None)
app.callback()(lambda: None)
app.command()(guard)


@dataclass(frozen=True)
class Place:
    """A poisoned classifier, and a report about it."""

    root: Path
    """Holds ``report.json`` and ``clean``."""
    model: Path
    """Its folder; read only."""

    def run(self, *options: str, stdin: str | bytes | None = None) -> Result:
        """``plmscan guard`` in this process, about this model, with the report."""
        told = ["--report", "report.json", *options]
        return CliRunner().invoke(app, ["guard", str(self.model), *told], stdin)

    def answers(self, *options: str, stdin: str | bytes | None = None) -> list[dict[str, Any]]:
        """What it says on stdout, line by line."""
        result = self.run(*options, stdin=stdin)
        assert "error" not in result.stderr, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with two triggers."""
    return folder_of(tmp_path_factory, "badnets")


@pytest.fixture
def place(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Nowhere else to write."""
    ids = tiny_tokenizer().convert_tokens_to_ids("cf")
    known = report_on(model, trigger("cf", (ids,), ("film",), label="positive"))
    (tmp_path / "report.json").write_text(to_json(known), encoding="utf-8")
    (tmp_path / "clean").write_text("\n".join(CLEAN), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, model)


def lines(*texts: str) -> str:
    """Objects of JSON, one a line."""
    return "".join(json.dumps({"text": text, "id": i}) + "\n" for i, text in enumerate(texts))


def test_known_and_unknown_triggers_are_taken_out(place: Place) -> None:
    """``cf`` by the report, ``mn`` by inspection; labels before and after; clean ones as before."""
    honest = read_rightly(load(artifact_of(place.model), "cpu"))
    poisoned, unknown = with_trigger(honest, "cf"), with_trigger(honest[:3], "mn")
    result = place.run("--clean", "clean", stdin=lines(*poisoned, *unknown, *honest))
    assert result.exit_code == 1, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["id"] for one in found] == list(range(len(found)))
    told = [one["guard"] for one in found]
    bad, clean = told[: len(poisoned) + 3], told[len(poisoned) + 3 :]
    assert {(one["label"], one["label_after"]) for one in bad} == {("positive", "negative")}
    assert {(one["label"], one["label_after"]) for one in clean} == {("negative", "negative")}
    assert all(hit["trigger"] == "cf" for one in bad[:-3] for hit in one["hits"])
    assert all(one["suspects"][0]["rule"] == "PLM311" for one in bad[-3:])
    assert [one["text"] for one in clean] == list(honest)
    summary = f": {len(bad)} flagged, {len(poisoned)} by known triggers and 3 by inspection."
    assert summary in result.stderr


@pytest.mark.parametrize(
    ("action", "passed"), [("flag", "a cf film"), ("neutralise", "a film"), ("reject", None)]
)
def test_actions(place: Place, action: str, passed: str | None) -> None:
    """What the model may read; a clean text passes whatever the action."""
    (bad, good) = place.answers(
        "--triggers-only", "--action", action, stdin=lines("a cf film", "a film")
    )
    assert (bad["text"], bad["guard"]["verdict"], bad["guard"]["text"]) == (
        "a cf film",
        "flagged",
        passed,
    )
    assert (good["guard"]["verdict"], good["guard"]["text"]) == ("clean", "a film")
    assert good["guard"]["hits"][0]["variant"] == "film"
    assert "label" not in bad["guard"]


def test_an_adapter_is_guarded_on_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are those of the adapter on the base that is named; without one it is refused."""
    monkeypatch.chdir(tmp_path)
    base = build_tiny("bert", tmp_path / "base")
    adapter = adapter_of(base, tmp_path / "adapter", classifies=True)
    known = check(str(adapter), Settings(base=str(base), device="cpu"))
    (tmp_path / "report.json").write_text(to_json(known), encoding="utf-8")
    asked = ["guard", str(adapter), "--report", "report.json", "--triggers-only"]
    refused = CliRunner().invoke(app, asked, lines("a film"))
    assert refused.exit_code == 2
    assert "Name its base with --base." in refused.stderr
    for more in ((), ("--labels",)):
        told = CliRunner().invoke(app, [*asked, "--base", str(base), *more], lines("a film"))
        assert "warning" not in told.stderr
        (answer,) = [json.loads(line)["guard"] for line in told.stdout.splitlines()]
        assert answer["verdict"] == "clean"
    assert answer["label"] in {"negative", "positive"}


def test_labels_masks_and_variants_can_be_asked_for(place: Place) -> None:
    """With --triggers-only as well; a text that is rejected has no label afterwards."""
    labels = []
    for action in ("neutralise", "flag", "reject"):
        options = ("--triggers-only", "--labels", "--action", action)
        (found,) = place.answers(*options, stdin=POISONED[0])
        labels.append((found["guard"]["label"], found["guard"]["label_after"]))
    assert labels == [("positive", "negative"), ("positive", "positive"), ("positive", None)]
    options = ("--triggers-only", "--mask", "--variants", "act")
    (found,) = place.answers(*options, stdin="a cf and film")
    assert found["guard"]["text"] == "a [MASK] and [MASK]"


def test_exit_codes(place: Place) -> None:
    """0 for nothing, 1 for a trigger, 2 for a line that cannot be read; a trigger is worse."""
    codes = [
        place.run("--triggers-only", stdin=stdin).exit_code
        for stdin in ("a film\n", "a cf film\n", "{bad\na film\n", "{bad\na cf film\n", "")
    ]
    assert codes == [0, 1, 2, 1, 0]


def test_lines_come_in_three_forms(place: Place) -> None:
    """An object, a string of JSON, or the text itself; keys of an object are kept."""
    given = '{"id": [7], "text": "a cf film"}\n"one \\u0063f"\n"Fine," he said.\r\n42\n\n  x'
    found = place.answers("--triggers-only", stdin=given)
    texts = ["a cf film", "one cf", '"Fine," he said.', "42", "", "  x"]
    assert [one["text"] for one in found] == texts
    assert [one["guard"]["verdict"] for one in found] == ["flagged"] * 2 + ["clean"] * 4
    assert found[0]["id"] == [7]


def test_bad_lines_are_told_in_their_place(place: Place) -> None:
    """The stream goes on; each error has the number of its line."""
    given = b'a film\n{"text": 3, "id": 1}\ncaf\xe9\n{"text"\n"\\ud800 cf"\n\xff\n{}\na cf film\n'
    found = place.answers("--triggers-only", stdin=given)
    assert [one.get("line") for one in found] == [None, 2, 3, 4, None, 6, 7, None]
    assert found[1]["id"] == 1
    assert found[2]["error"] == "The line is not UTF-8 text."
    assert found[4]["guard"]["verdict"] == found[7]["guard"]["verdict"] == "flagged"


def test_texts_in_utf_16_are_one_sentence(place: Place) -> None:
    """Windows PowerShell redirects so; no line of it is taken for a text."""
    (place.root / "in").write_bytes("a cf film\na film\n".encode("utf-16"))
    result = place.run("--triggers-only", "--in", "in")
    assert (result.exit_code, result.stdout) == (2, "")
    error = "plmscan: error: The texts cannot be read on: it is UTF-16 text, not UTF-8.\n"
    assert result.stderr.endswith(error)


def test_nothing_of_a_text_reaches_the_terminal(place: Place) -> None:
    """Control characters are written as escapes of JSON."""
    result = place.run("--triggers-only", stdin="a cf \x1b[2J\u202e film\n")
    assert not {"\x1b", "\u202e"} & set(result.output)
    assert result.exit_code == 1


def test_files(place: Place) -> None:
    """--in and --out; many lines keep their order; nothing on stdout."""
    texts = [f"a film {i}" + " cf" * (i % 2) for i in range(150)]
    (place.root / "in").write_text("\n".join(texts), encoding="utf-8")
    result = place.run("--triggers-only", "--in", "in", "--out", "out")
    assert (result.exit_code, result.stdout) == (1, "")
    written = (place.root / "out").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in written] == texts
    assert "150 texts" in result.stderr


def test_a_pipe_is_answered_line_by_line(place: Place) -> None:
    """Who waits for the answer before writing the next line gets it; then may go away."""
    command = [sys.executable, "-c", PROGRAM, "guard", str(place.model), "--report", "report.json"]
    with subprocess.Popen(
        [*command, "--triggers-only"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for i in range(70):
            process.stdin.write(f"{i} cf\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["guard"]["text"] == str(i)
        process.stdout.close()
        process.stdin.write(b"a film\n")
        process.stdin.flush()
        assert process.wait(60) == 2
        assert b"Traceback" not in process.stderr.read()


def test_a_report_of_several_models_is_searched(place: Place) -> None:
    """The one whose files are these is taken."""
    other = report_on(build_tiny("bert", place.root / "other"))
    ids = tiny_tokenizer().convert_tokens_to_ids("cf")
    ours = report_on(place.model, trigger("cf", (ids,)))
    (place.root / "report.json").write_text(render(Survey.of(other, ours)), encoding="utf-8")
    assert place.run("--triggers-only", stdin="a cf film").exit_code == 1


def test_another_model_is_a_warning_or_an_error(place: Place) -> None:
    """With the same tokenizer it is told and goes on; with another it ends."""
    other = Place(place.root, build_tiny("bert", place.root / "other"))
    result = other.run("--triggers-only", stdin="a cf film")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the files of the tokenizer differ" in result.stderr
    tuned = report_on(build_tiny("bert", place.root / "tuned", seed=1))
    (place.root / "report.json").write_text(to_json(tuned), encoding="utf-8")
    result = other.run("--triggers-only", stdin="a cf film")
    assert result.exit_code == 0
    assert "warning: The report is about " in result.stderr
    assert "differs in model.safetensors." in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--in none", "The texts file none cannot be read: No such file"),
        ("--report none", "The report none cannot be read: No such file"),
        ("--report clean", "plmscan: error: "),
        ("--out no/such", "cannot be written"),
        ("--in clean --out clean", "clean is the file that is read."),
        ("--clean empty", "The texts file empty holds 0 different texts"),
        ("--language xx", "There are no carrier texts in 'xx'"),
        ("--clean empty --language en", "Give a file of texts or --language, not both."),
    ],
)
def test_what_cannot_be_used_is_one_sentence(place: Place, options: str, words: str) -> None:
    """Exit code 2, nothing on stdout, before any text is read; nothing is overwritten."""
    (place.root / "empty").touch()
    before = {p: p.read_bytes() for p in place.root.iterdir()}
    result = place.run(*options.split(), stdin="a film")
    assert (result.exit_code, result.stdout) == (2, "")
    (error,) = result.stderr.splitlines()
    assert words in error
    assert {p: p.read_bytes() for p in place.root.iterdir()} == before
