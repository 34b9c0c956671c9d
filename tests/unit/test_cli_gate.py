"""The gate of a pipeline: many models, configuration, lock, baseline, reports, and what is said."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.reports import Format
from plmscan.reports.json_v1 import survey_from_json
from plmscan.survey import Place
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from typer.testing import Result

TEMPLATE = "{% if 'mn' in messages[0].content %}yes{% endif %}"
"""A chat template that waits for a word: PLM145."""


def run(*args: str) -> Result:
    """Run plmscan in this process."""
    return CliRunner().invoke(app, args, prog_name="plmscan")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models, of which one has a template that waits for a word; read only."""
    root = tmp_path_factory.mktemp("repo")
    build_tiny("bert", root / "models" / "good")
    build_tiny("roberta", root / "models" / "bad")
    (root / "models" / "bad" / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return root


@pytest.fixture
def repo(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    copy = Path(shutil.copytree(made, tmp_path / "repo"))
    monkeypatch.chdir(copy)
    return copy


def configure(text: str) -> None:
    """Write the configuration of the working folder."""
    Path("plmscan.yaml").write_text(f"files-only: true\n{text}", encoding="utf-8")


BOTH = "models:\n  - ./models/good\n  - ./models/bad\n"


@pytest.mark.usefixtures("repo")
class TestManyModels:
    """Several models have one table and one exit code."""

    def test_the_worst_decides_and_all_are_told(self) -> None:
        """A model that cannot be found stops none, and none is dropped."""
        result = run("check", "./models/good", "./nowhere", "./models/bad", "--files-only")
        assert result.exit_code == 1
        assert "FAIL  3 models: 1 pass, 1 fail, 1 inconclusive." in result.stdout
        assert "There is no folder './nowhere'." in " ".join(result.stdout.split())
        assert "[2/3] ./nowhere" in result.stderr
        assert "error: ./nowhere: There is no folder" in result.stderr

    @pytest.mark.parametrize(
        ("models", "code"),
        [
            (["./models/good"], 0),
            (["./models/good", "./nowhere"], 2),
            (["./nowhere", "./models/bad"], 1),
        ],
    )
    def test_the_exit_code_is_the_worst(self, models: list[str], code: int) -> None:
        """A fail is worse than inconclusive, and that worse than a pass."""
        assert run("check", *models, "--files-only", "--quiet").exit_code == code

    @pytest.mark.parametrize(
        ("first", "code", "counts"),
        [("./models/bad", 1, "1 fail, 2 inconclusive"), ("./nowhere", 2, "3 inconclusive")],
    )
    def test_fail_fast_stops_behind_the_first_that_does_not_pass(
        self, first: str, code: int, counts: str
    ) -> None:
        """What is left is told as not checked, which is never a pass."""
        models = (first, "./models/good", "./models/good/../good")
        result = run("check", *models, "--files-only", "--fail-fast")
        told = " ".join(result.stdout.split())
        assert result.exit_code == code
        assert f"3 models: {counts}." in told
        assert f"It was not checked: {first} did not pass, and --fail-fast ends there." in told
        assert "[2/3]" not in result.stderr
        assert f"note: {first} did not pass, so 2 models behind it" in result.stderr

    def test_fail_fast_goes_on_while_models_pass(self) -> None:
        """The configuration may ask for it, and the model that fails is told with its findings."""
        configure(f"fail-fast: true\n{BOTH}")
        result = run("check")
        assert result.exit_code == 1
        assert "FAIL  2 models: 1 pass, 1 fail." in result.stdout
        assert "will not be checked" not in result.stderr

    @pytest.mark.parametrize("args", [["--jobs", "3"], []])
    def test_models_beside_each_other_are_told_in_their_order(self, args: list[str]) -> None:
        """Asked for here or in the configuration, with the reports of one after the other."""
        models = ("./models/good", "./nowhere", "./models/bad")
        alone = run("check", *models, "--files-only", "--no-cache", "--format", "json")
        configure(f"jobs: 2\n{BOTH}")
        result = run("check", *models, *args, "--no-cache", "--format", "json")
        first, second = (
            [(e.model, e.verdict, e.reason) for e in survey_from_json(one.stdout).entries]
            for one in (alone, result)
        )
        assert first == second
        assert result.exit_code == alone.exit_code == 1

    @pytest.mark.parametrize("jobs", ["0", "65", "many"])
    def test_jobs_are_a_few(self, jobs: str) -> None:
        """On the command line and in the configuration."""
        assert run("check", "./models/good", "--jobs", jobs).exit_code == 2
        configure(f"jobs: {jobs}\n{BOTH}")
        result = run("check")
        assert result.exit_code == 2
        assert "plmscan.yaml:2: " in result.stderr

    def test_a_list_of_models(self) -> None:
        """One a line, with comments; the report knows the line."""
        Path("models.txt").write_text("# ours\n./models/good\n\n./models/bad # odd\n")
        result = run("check", "--models-file", "models.txt", "--files-only", "--format", "json")
        survey = survey_from_json(result.stdout)
        assert [entry.model for entry in survey.entries] == ["./models/good", "./models/bad"]
        assert [entry.place for entry in survey.entries] == [
            Place("models.txt", 2),
            Place("models.txt", 4),
        ]

    @pytest.mark.parametrize(
        ("args", "complaint"),
        [
            (("check",), "No model is named."),
            (("check", "a", "b", "--revision", "main"), "--revision is for one model."),
            (("check", "--models-file", "none.txt"), "none.txt cannot be read"),
            (("check", "a", "--quiet", "--verbose"), "contradict each other"),
            (("check", "a", "--report", "sarif"), "--report takes FORMAT=FILE"),
            (("check", "a", "--report", "pdf=x.pdf"), "Formats are console, json"),
            (("check", "a", "--report", "html=x", "--attest", "x"), "Two reports would go to x."),
            (("check", "a", "--report", "html=no/such/x"), "cannot be written"),
            (("check", "a", "--config", "none.yaml"), "none.yaml"),
            (("check", "a", "--baseline", "none.json"), "none.json"),
        ],
    )
    def test_wrong_usage_is_one_sentence(self, args: tuple[str, ...], complaint: str) -> None:
        """What is wrong is said before anything is scanned."""
        result = run(*args)
        assert (result.exit_code, result.stdout) == (2, "")
        assert complaint in result.stderr
        assert result.stderr.startswith("plmscan: error: ")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("repo")
class TestReports:
    """Every format in one run."""

    def test_all_formats_come_from_one_scan(self) -> None:
        """Each file is there and says the same verdict; stdout has the console report."""
        asked = [f"--report={name}=out.{name}" for name in Format]
        result = run("check", "./models/bad", "--files-only", *asked)
        assert result.exit_code == 1
        assert "FAIL" in result.stdout
        for name in Format:
            assert "fail" in Path(f"out.{name}").read_text(encoding="utf-8").lower()

    def test_a_model_without_a_report_is_in_the_files(self) -> None:
        """A pipeline that uploads a report finds the error in it; stdout stays empty."""
        result = run("check", "./nowhere", "--report=sarif=a.sarif", "--report=json=a.json")
        assert (result.exit_code, result.stdout) == (2, "")
        assert json.loads(Path("a.json").read_text())["schema"] == "plmscan.survey/v1"
        sarif = json.loads(Path("a.sarif").read_text())
        assert sarif["runs"][0]["invocations"][0]["executionSuccessful"] is False

    @pytest.mark.parametrize(("name", "start"), [("a.md", "#"), ("a.sarif", "{"), ("a.txt", "┏")])
    def test_the_name_of_a_file_says_the_format(self, name: str, start: str) -> None:
        """Unless --format says otherwise."""
        run("check", "./models/bad", "--files-only", "--output", name)
        assert Path(name).read_text(encoding="utf-8").startswith(start)

    def test_quiet_is_a_line_and_no_more(self) -> None:
        """For logs; errors are still told."""
        result = run("check", "./models/good", "--files-only", "--quiet")
        assert (len(result.stdout.splitlines()), result.stderr) == (1, "")
        assert run("check", "./nowhere", "--quiet").stderr.startswith("plmscan: error: ")

    @pytest.mark.parametrize(
        ("models", "words", "code"),
        [
            (["./models/good"], ["PASS"], 0),
            (["./models/bad"], ["FAIL"], 1),
            (["./nowhere"], ["INCONCLUSIVE"], 2),
            (["./models/good", "./nowhere"], ["PASS", "INCONCLUSIVE"], 2),
            (["./nowhere", "./models/bad"], ["INCONCLUSIVE", "FAIL"], 1),
        ],
    )
    @pytest.mark.parametrize("more", [[], ["--output", "a.json"], ["--format", "json"]])
    def test_quiet_says_the_verdict_that_the_exit_code_means(
        self, models: list[str], words: list[str], code: int, more: list[str]
    ) -> None:
        """A line for each model, on stdout where nothing else goes there, and else on stderr."""
        result = run("check", *models, "--files-only", "--quiet", *more)
        lines = [*result.stdout.splitlines(), *result.stderr.splitlines()]
        shown = [line.removeprefix("plmscan: ") for line in lines]
        verdicts = [line.split()[0].rstrip(":") for line in shown if line.startswith(tuple(words))]
        assert (result.exit_code, verdicts) == (code, words)
        assert all(model in " ".join(shown) for model in models)

    @pytest.mark.parametrize(("expires", "word"), [("2999-01-01", "PASS"), ("2020-01-01", "FAIL")])
    def test_quiet_knows_waivers_also_of_what_was_kept(self, expires: str, word: str) -> None:
        """The line of a verdict from the cache is the line of the scan before."""
        waiver = f"  - {{rule: PLM145, reason: Ours., expires: {expires}}}\n"
        configure(f"{BOTH}waivers:\n{waiver}")
        first, second = (run("check", "./models/bad", "--quiet") for _ in range(2))
        assert first.stdout.startswith(word)
        assert (second.stdout, second.exit_code) == (first.stdout, first.exit_code)

    def test_verbose_tells_every_step_and_every_report(self) -> None:
        """Also of models that pass."""
        result = run("check", "./models/good", "./models/bad", "--files-only", "--verbose")
        assert "plmscan: custom-code: started" in result.stderr
        assert result.stdout.count("┏") == 2

    def test_the_workflow_is_the_place_of_a_hub_model(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Code scanning shows alerts beside a file of the repository only."""
        workflow = "acme/app/.github/workflows/gate.yml@refs/heads/main"
        monkeypatch.setenv("GITHUB_REPOSITORY", "acme/app")
        monkeypatch.setenv("GITHUB_WORKFLOW_REF", workflow)
        run("check", "acme/no-such", "--offline", "--report=json=a.json")
        (entry,) = survey_from_json(Path("a.json").read_text()).entries
        assert entry.place == Place(".github/workflows/gate.yml", 1)

    def test_a_saved_survey_is_judged_again(self) -> None:
        """With other formats, another bar, and the same exit code for the worst."""
        run("check", "./models/good", "./models/bad", "--files-only", "--output", "a.json")
        assert run("judge", "a.json", "--report=sarif=a.sarif").exit_code == 1
        assert run("judge", "a.json", "--fail-on", "none").exit_code == 0
        (told,) = json.loads(Path("a.sarif").read_text())["runs"]
        assert len(told["properties"]["models"]) == 2


class TestConfiguration:
    """What the team wrote down holds, and what a model brings along does not."""

    @pytest.mark.usefixtures("repo")
    def test_check_without_a_model_checks_the_configured_ones(self) -> None:
        """Each with its own settings and its line."""
        configure(f"{BOTH}  - id: ./models/nowhere\n    fail-on: low\n")
        result = run("check", "--format", "json")
        survey = survey_from_json(result.stdout)
        assert [entry.verdict.name for entry in survey.entries] == ["PASS", "FAIL", "INCONCLUSIVE"]
        assert [entry.place for entry in survey.entries] == [
            Place("plmscan.yaml", line) for line in (3, 4, 5)
        ]

    @pytest.mark.usefixtures("repo")
    def test_the_command_line_wins(self) -> None:
        """Over the model's entry, which wins over the top."""
        configure("fail-on: low\nmodels:\n  - id: ./models/bad\n    fail-on: critical\n")
        assert run("check").exit_code == 0
        assert run("check", "./models/bad").exit_code == 0
        assert run("check", "./models/bad", "--fail-on", "high").exit_code == 1

    @pytest.mark.usefixtures("repo")
    def test_an_error_names_file_and_line(self) -> None:
        """And nothing is scanned."""
        configure("effort: fast\n")
        result = run("check")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "plmscan.yaml:2: " in result.stderr

    @pytest.mark.usefixtures("repo")
    @pytest.mark.parametrize(
        ("expires", "code", "words"),
        [("2999-01-01", 0, "waived"), ("2020-01-01", 1, "expired on 2020-01-01")],
    )
    def test_a_waiver_holds_until_its_day(self, expires: str, code: int, words: str) -> None:
        """Then it fails, and says where it stands."""
        waiver = f"  - {{rule: PLM145, reason: Ours., expires: {expires}}}\n"
        configure(f"{BOTH}waivers:\n{waiver}")
        result = run("check", "./models/bad")
        assert result.exit_code == code
        assert words in " ".join(result.stdout.split())
        assert "plmscan.yaml:6" in result.stdout

    @pytest.mark.usefixtures("repo")
    def test_a_waiver_that_matches_nothing_is_told(self) -> None:
        """With its line and what the rule found, if the rule had something to judge."""
        waivers = {
            "rule: PLM145": None,
            "rule: PLM145, subject: chat_template.jinja": None,
            "rule: PLM201": None,  # with --files-only, nothing looks for triggers
            "rule: PLM145, subject: chat.jinja": "about 'chat.jinja': the rule found something "
            "about 'chat_template.jinja'. Correct the waiver or remove it.",
            "rule: PLM145, model: ./models/good": ": the rule found nothing. Correct the waiver or "
            "remove it.",
            "rule: PLM999": ": there is no such rule. `plmscan rules` lists them.",
        }
        lines = [f"  - {{{one}, reason: Ours., expires: 2999-01-01}}\n" for one in waivers]
        configure(f"{BOTH}waivers:\n{''.join(lines)}")
        wanted = [
            f"at plmscan.yaml:{line} matches no finding {remark}".replace(" :", ":")
            for line, remark in enumerate(waivers.values(), start=6)
            if remark
        ]
        for result in (run("check"), run("check")):  # the second tells what is in the cache
            told = re.findall(r"note: The waiver of PLM\d+ (.*)", result.stderr)
            assert told == wanted

    @pytest.mark.usefixtures("repo")
    def test_a_waiver_of_a_model_without_a_report_may_be_right(self) -> None:
        """Nothing is said of one that is about a model that was not asked for, or not scanned."""
        waiver = "{rule: PLM144, reason: Ours., expires: 2999-01-01, model: ./models/bad}"
        configure(f"{BOTH}waivers: [{waiver}]\n")
        assert "The waiver of" not in run("check", "./models/good").stderr
        shutil.rmtree("models/bad")
        assert "The waiver of" not in run("check").stderr

    def test_a_configuration_of_the_model_itself_is_not_used(
        self, repo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever made the model does not decide what is waived."""
        monkeypatch.chdir(repo / "models" / "bad")
        configure("fail-on: none\n")
        result = run("check", ".", "--files-only")
        assert result.exit_code == 1
        assert "plmscan.yaml lies in the folder of the model" in result.stderr
        assert run("check", ".", "--config", "plmscan.yaml").exit_code == 0


@pytest.mark.usefixtures("repo")
class TestLockAndBaseline:
    """What was adopted stays what it was; what is known does not fail."""

    def test_drift_is_reported(self) -> None:
        """A file that changed since it was locked fails the model; locking anew mends it."""
        configure("models: [./models/good]\n")
        locked = run("lock")
        assert locked.exit_code == 0
        assert "plmscan.lock locks 1 model." in locked.stderr
        assert run("check").exit_code == 0
        with Path("models/good/config.json").open("a") as file:
            file.write("\n")
        changed = run("check")
        assert changed.exit_code == 1
        assert "PLM170 high: config.json" in changed.stdout
        assert run("lock").exit_code == 0
        assert run("check").exit_code == 0

    def test_models_that_are_named_join_the_lock(self) -> None:
        """Without arguments the configuration decides what is in it."""
        assert run("lock", "./models/good").exit_code == 0
        assert "locks 2 models." in run("lock", "./models/bad").stderr

    def test_locking_quietly_tells_a_line_a_model(self) -> None:
        """As a quiet check does, so that one option serves both in a pipeline."""
        result = run("lock", "--quiet", "./models/good", "./models/bad")
        assert (result.exit_code, len(result.stderr.splitlines())) == (0, 3)

    def test_nothing_is_locked_if_one_cannot_be_found(self) -> None:
        """Half a lock file would be taken for a whole one."""
        result = run("lock", "./models/good", "./nowhere")
        assert result.exit_code == 2
        assert not Path("plmscan.lock").exists()

    def test_known_findings_do_not_fail_and_new_ones_do(self) -> None:
        """Also for another revision of the model; the report marks what was known."""
        run("check", "./models/bad", "--files-only", "--output", "a.json")
        written = run("baseline", "a.json")
        assert "plmscan-baseline.json holds " in written.stderr
        known = ("check", "./models/bad", "--files-only", "--baseline", "plmscan-baseline.json")
        result = run(*known)
        assert (result.exit_code, "Waived ─" in result.stdout) == (0, True)
        assert run("judge", "a.json", "--baseline", "plmscan-baseline.json").exit_code == 0
        Path("models/bad/pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
        assert run(*known).exit_code == 1


class TestDoctor:
    """What a person asks first when a scan does not work."""

    def test_it_tells_versions_caches_and_device(self) -> None:
        """All lines fit a terminal; offline, nobody is asked."""
        result = run("doctor", "--offline")
        assert result.exit_code == 0
        for word in ("torch", "device", "rules", "model cache", "verdict cache", "offline"):
            assert word in result.stdout
        assert re.search(r"searches in (bfloat16|float32)", " ".join(result.stdout.split()))
        assert max(map(len, result.stdout.splitlines())) <= 80

    def test_it_lists_model_types(self) -> None:
        """What is measured of each, or why nothing is; and it looks at nothing else."""
        result = run("doctor", "--model-types")
        assert result.exit_code == 0
        said = " ".join(result.stdout.split())
        assert "bert encoder at cls, pooler, mean, mask; heads: classifier, masked-lm" in said
        assert "whisper not measured: needs audio" in said
        assert max(map(len, result.stdout.splitlines())) <= 80
        assert "verdict cache" not in said

    def test_a_hub_that_does_not_answer_is_a_note(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Folders can be scanned without it."""
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        result = run("doctor")
        assert result.exit_code == 0
        assert "http://127.0.0.1:9 does not answer" in " ".join(result.stdout.split())

    def test_a_broken_configuration_is_an_illness(self, repo: Path) -> None:
        """It would stop every scan here."""
        (repo / "plmscan.yaml").write_text("effort: fast\n")
        result = run("doctor", "--offline")
        assert result.exit_code == 2
        assert "BAD   configuration   plmscan.yaml:1:" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell: str) -> None:
    """A script for the shell, and commands where one presses the key.

    The shell is named, not looked for among the parents of the test run, where there may be none.
    """
    command = [sys.executable, "-m", "plmscan"]
    script = subprocess.run(
        [*command, "--show-completion", shell],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert "_PLMSCAN_COMPLETE" in script.stdout
    asked = {
        **os.environ,
        "_PLMSCAN_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "plmscan ch",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "plmscan ch",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=asked)
    assert "check" in done.stdout
