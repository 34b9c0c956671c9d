"""The GitHub Action, its steps run as a runner runs them, on real models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plmscan.reports import Format, render
from plmscan.reports.json_v1 import survey_from_json
from plmscan.survey import Entry, Place, Survey
from tests.github_runner import Finished, commands_in, outputs_in, run_action
from tests.specimens import clean, hit, poisoned, report, run, survey, unfinished, waived
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Act = Callable[..., tuple[Finished, Path]]

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
STEPS = yaml.safe_load(ACTION.read_text(encoding="utf-8"))["runs"]["steps"]
RUN = {step["name"]: step["run"] for step in STEPS if "run" in step}
INSTALLED = {"install": {"python": sys.executable}}
"""The step that would need a network; this environment has plmscan."""
ODD = """out dir/a'b"$(touch pwned)`touch pwned`;&|*.html"""
HOSTILE = (
    "::error::x",
    "\n::set-output name=verdict::pass",
    "\r::stop-commands::x",
    "##[set-output name=exit-code]0",
    "x%0A::add-mask::a",
    "a,title=b::c",
    "\u2028::error::x",
)


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory) -> Act:
    """A function that runs the Action in a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: os.environ[name] for name in ("PATH", "PLMSCAN_CACHE") if name in os.environ}
    environment = {**kept, "HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def acted(inputs: Mapping[str, str], files: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
        folder = tmp_path_factory.mktemp("runner")
        for name, text in (files or {}).items():
            path = folder / "work" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        done = run_action(ACTION, inputs, folder, environment, INSTALLED, "# Earlier steps\n")
        return done, folder / "work"

    return acted


@pytest.fixture(scope="module")
def failing(act: Act, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """The Action on a planted model, with reports whose names a shell would stumble over."""
    reports = f"sarif = plm scan.sarif\n\n  html={ODD}\n"
    model = str(tiny_folder(tmp_path_factory, "cls"))
    inputs = {"models": f"\n  {model}\n", "effort": "quick", "reports": reports}
    return act(inputs, {"out dir/keep": ""})


@pytest.fixture(scope="module")
def passing(act: Act, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """The Action on a clean model."""
    model = str(tiny_folder(tmp_path_factory, "clean"))
    return act({"models": model, "effort": "quick", "cache": "false", "reports": "json=r.json"})


@pytest.fixture(scope="module")
def absent(act: Act) -> tuple[Finished, Path]:
    """The Action on models that do not exist, named as no shell and no runner would like."""
    return act(
        {"models": "./missing $(touch pwned)\n./##[error]x", "baseline": "", "cache": "false"}
    )


def test_a_planted_model_fails_after_everything_is_told(failing: tuple[Finished, Path]) -> None:
    """Before the last step, which alone fails, reports, summary and outputs are there."""
    done, work = failing
    assert [step.name for step in done.steps][-3:] == [
        "Check the models",
        "Tell the result",
        "Decide",
    ]
    assert [step.code for step in done.steps] == [0, 0, 0, 1]
    decide = done.step("Decide")
    assert {"plm scan.sarif", ODD} <= decide.files
    assert "## plmscan: FAIL" in decide.summary
    assert done.step("Tell the result").outputs["verdict"] == "fail"
    assert done.code == 1
    assert json.loads((work / "plm scan.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"


def test_the_outputs_of_a_fail(failing: tuple[Finished, Path]) -> None:
    """Verdict, code and count are set, and the files are named that were asked for or are ours."""
    done, _ = failing
    outputs = dict(done.outputs)
    told = json.loads(Path(outputs.pop("report")).read_text(encoding="utf-8"))
    assert told["verdict"] == "fail"
    assert Path(outputs.pop("markdown")).read_text(encoding="utf-8") in done.summary
    assert outputs.pop("findings-count") == str(len(told["findings"]))
    assert outputs == {
        "verdict": "fail",
        "exit-code": "1",
        "sarif": "plm scan.sarif",
        "html": ODD,
        "model-sha": "",
    }


def test_the_annotation_of_a_fail(failing: tuple[Finished, Path]) -> None:
    """One error names the model and its first reason."""
    done, _ = failing
    (error,) = done.step("Tell the result").commands
    assert (error.name, error.properties) == ("error", {"title": "plmscan: fail"})
    assert ": PLM201 critical: " in error.data
    assert "'cf'" in error.data


def test_a_clean_model_passes(passing: tuple[Finished, Path]) -> None:
    """Every step succeeds, nothing is annotated, and the JSON report is where it was asked for."""
    done, work = passing
    assert done.code == 0
    assert "## plmscan: PASS" in done.summary
    assert done.step("Tell the result").commands == ()
    assert {k: done.outputs[k] for k in ("verdict", "exit-code", "report", "findings-count")} == {
        "verdict": "pass",
        "exit-code": "0",
        "report": "r.json",
        "findings-count": "0",
    }
    assert json.loads((work / "r.json").read_text(encoding="utf-8"))["verdict"] == "pass"


def test_a_model_that_does_not_exist_is_inconclusive(absent: tuple[Finished, Path]) -> None:
    """No report, no pass: the code is 2, and summary and annotations say what is missing."""
    done, _ = absent
    assert done.code == 2
    assert (done.outputs["verdict"], done.outputs["exit-code"]) == ("inconclusive", "2")
    assert done.outputs["sarif"] == done.outputs["html"] == ""
    assert "| `./missing` | **INCONCLUSIVE** | not scanned |" in done.summary
    errors = done.step("Tell the result").commands
    assert [error.name for error in errors] == ["error"] * 4
    assert errors[0].data.startswith("./missing: There is no folder './missing'.")


def test_without_models_the_configuration_is_asked(act: Act) -> None:
    """What it lists is checked, and the annotation is at the line that names the model."""
    done, _ = act({"cache": "false"}, {"plmscan.yaml": "models:\n  - ./missing\n"})
    (error,) = done.step("Tell the result").commands
    assert error.properties == {
        "file": "plmscan.yaml",
        "line": "2",
        "title": "plmscan: inconclusive",
    }
    assert done.code == 2


@pytest.mark.parametrize("name", ["failing", "passing", "absent"])
def test_the_job_is_left_as_it_was(name: str, request: pytest.FixtureRequest) -> None:
    """No variable and no path is set for later steps, and the summary of others is still there."""
    done, _ = request.getfixturevalue(name)
    assert done.environment == ""
    assert done.summary.startswith("# Earlier steps\n\n## plmscan: ")


@pytest.mark.parametrize("name", ["failing", "passing", "absent"])
def test_nothing_in_an_input_runs(name: str, request: pytest.FixtureRequest) -> None:
    """What a shell would run was not run, and what the log shows of a model is no command."""
    done, work = request.getfixturevalue(name)
    assert not list(work.rglob("pwned"))
    scanned = done.step("Check the models")
    assert scanned.commands == ()
    assert "##[error]x" in scanned.log or name != "absent"


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"models": "x", "offline": "maybe"}, "offline must be true or false, not 'maybe'"),
        ({"models": "x", "all-files": "on"}, "all-files must be true or false, not 'on'"),
        ({"models": "x", "fail-fast": "1"}, "fail-fast must be true or false, not '1'"),
        ({"models": "x", "reports": "sarif"}, "lines such as sarif=plmscan.sarif"),
        ({"models": "x", "config": "no such.yaml", "cache": "false"}, "no such.yaml"),
        ({"models": "--help", "cache": "false"}, "--help"),
        ({"models": "x", "language": "zh,xx", "cache": "false"}, "no carrier texts in 'xx'"),
    ],
)
def test_a_wrong_input_is_an_error_that_is_told(
    act: Act, inputs: Mapping[str, str], told: str
) -> None:
    """An input that means nothing is never a pass: the code is 2, and the log says what it is."""
    done, _ = act(inputs)
    assert done.code == 2
    assert done.outputs["verdict"] == "inconclusive"
    assert told in "".join(step.log for step in done.steps)
    assert "plmscan: INCONCLUSIVE" in done.summary


def test_scripts_of_the_action_are_sound_bash() -> None:
    """Each is parsed by bash, also the installation, which no test runs."""
    for script in RUN.values():
        bash = ["/usr/bin/env", "bash", "-n"]
        done = subprocess.run(bash, input=script, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_installation_asks_for_what_the_inputs_say(tmp_path: Path) -> None:
    """Its script, with stand-ins for Python and uv: ours with constraints, or a version of it."""
    script = tmp_path / "install.sh"
    script.write_text(RUN["Install plmscan"], encoding="utf-8")
    asked = {version: _installed(script, version) for version in ("", "1.2; touch pwned")}
    ours = f"--constraint {ROOT}/constraints.txt {ROOT}[adapters,gguf]"
    assert asked[""].endswith(f"--torch-backend cpu {ours}\n")
    assert asked["1.2; touch pwned"].endswith(
        "--torch-backend cpu plmscan[adapters,gguf]==1.2; touch pwned\n"
    )
    assert not list(tmp_path.rglob("pwned"))


def _installed(script: Path, version: str) -> str:
    """The commands that the installation would run, one a line."""
    home = script.parent
    python = home / "python"
    # Makes a venv of itself, as `python -m venv` does, and writes down what it is asked.
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {home}/asked\n'
        'if [ "$3" = venv ]; then mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; fi\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    (home / "asked").write_text("", encoding="utf-8")
    files = {"RUNNER_TEMP": str(home), "GITHUB_OUTPUT": str(home / "output")}
    given = {"PYTHON": str(python), "INPUT_VERSION": version, "GITHUB_ACTION_PATH": str(ROOT)}
    subprocess.run(
        ["/usr/bin/env", "bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        env={"PATH": os.environ["PATH"], **files, **given},
        cwd=home,
        check=True,
    )
    outputs = outputs_in((home / "output").read_text(encoding="utf-8"))
    assert outputs["python"].endswith("/venv/bin/python")
    return (home / "asked").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def gate() -> Any:  # noqa: ANN401 - a loaded script
    """The script that the steps run, which is no part of a package."""
    spec = spec_from_file_location("gate", ROOT / "action" / "gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the runner gives to a step."""
    for name in ("OUTPUT", "STEP_SUMMARY", "ENV"):
        (tmp_path / name).touch()
        monkeypatch.setenv(f"GITHUB_{name}", str(tmp_path / name))
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    monkeypatch.setenv("RUNNER_OS", "Linux")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(
    gate: Any,  # noqa: ANN401 - a loaded script
    step: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: Survey,
    code: int = 1,
) -> dict[str, str]:
    """The outputs of ``tell`` about ``asked``."""
    for name, form in (("OWN_JSON", Format.JSON), ("OWN_MARKDOWN", Format.MARKDOWN)):
        (step / name).write_text(render(asked, form), encoding="utf-8")
        monkeypatch.setenv(name, str(step / name))
    monkeypatch.setenv("SCAN_CODE", str(code))
    gate.tell()
    return outputs_in((step / "OUTPUT").read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_trigger_cannot_be_a_command(
    gate: Any,  # noqa: ANN401 - a loaded script
    step: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    text: str,
) -> None:
    """Text of a model, in reason, name and place, stays inside the one annotation about it."""
    made = replace(report(run(hit(text)), identity=text), reasons=(text,))
    outputs = told(gate, step, monkeypatch, Survey((Entry(made, Place(text, 3)),) * 2))
    commands = commands_in(capfd.readouterr().out)
    assert [command.name for command in commands] == ["error", "error"]
    assert set(commands[0].properties) == {"file", "line", "title"}
    assert (outputs["verdict"], outputs["exit-code"]) == ("fail", "1")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_plmscan_prints_cannot_be_a_command(
    gate: Any,  # noqa: ANN401 - a loaded script
    capfd: pytest.CaptureFixture[str],
    text: str,
) -> None:
    """Whatever a scan writes to output and errors, the runner obeys none of it, then goes on."""
    speak = "import sys; print(sys.argv[1]); print(sys.argv[1], file=sys.stderr); sys.exit(1)"
    assert gate.run([sys.executable, "-c", speak, text]) == 1
    gate.show("::notice::on again")
    seen = capfd.readouterr()
    assert seen.err == ""
    assert [command.name for command in commands_in(seen.out)] == ["notice"]


def test_plmscan_cannot_speak_to_the_runner(
    gate: Any,  # noqa: ANN401 - a loaded script
    step: Path,
) -> None:
    """The files for outputs, variables and summary are not known to the process with the model."""
    look = "import os, sys; sys.exit(any(n.startswith('GITHUB_') for n in os.environ))"
    assert step.exists()
    assert gate.run([sys.executable, "-c", look]) == 0


@pytest.mark.parametrize(("code", "meant"), [(0, 0), (1, 1), (2, 2), (3, 2), (-9, 2), (137, 2)])
def test_other_exit_codes_are_errors(
    gate: Any,  # noqa: ANN401 - a loaded script
    code: int,
    meant: int,
) -> None:
    """A scan that was killed or broke is neither a pass nor a fail."""
    end = f"os.kill(os.getpid(), {-code})" if code < 0 else f"sys.exit({code})"
    assert gate.run([sys.executable, "-c", f"import os, sys; {end}"]) == meant


@given(text=st.text(max_size=30), marks=st.sampled_from(["", ":,"]))
def test_escapes_are_undone_by_the_runner(gate: Any, text: str, marks: str) -> None:  # noqa: ANN401
    """What is printable arrives as it was; what is not arrives spelt out, on the same line."""
    line = f"::error title={gate.escaped(text, ':,')}::{gate.escaped(text, marks)}"
    (command,) = commands_in(line)
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    assert command.properties.get("title", "") == shown.rstrip(" ")  # the runner trims the last one
    assert command.data == shown or marks


@pytest.mark.parametrize(
    ("code", "made", "meant"),
    [
        (0, clean(), "pass"),
        (0, waived(), "pass"),
        (1, poisoned(), "fail"),
        (2, poisoned(), "fail"),
        (0, poisoned(), "fail"),
        (2, unfinished(), "inconclusive"),
        (0, unfinished(), "inconclusive"),
        (1, clean(), "inconclusive"),
        (2, clean(), "inconclusive"),
        (0, None, "inconclusive"),
        (1, None, "inconclusive"),
    ],
)
def test_code_and_report_must_agree(
    gate: Any,  # noqa: ANN401 - a loaded script
    code: int,
    made: Any,  # noqa: ANN401 - a report or None
    meant: str,
) -> None:
    """A pass needs both; a fail needs the report, for a crash of Python ends with 1, too."""
    told = [] if made is None else [{"verdict": made.verdict.name.lower()}]
    assert gate.decided(code, told) == meant


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema": "x/v1"}', '{"schema": "plmscan.report/v1"}', "\udcff"],
)
def test_a_broken_report_is_no_report(
    gate: Any,  # noqa: ANN401 - a loaded script
    tmp_path: Path,
    text: str,
) -> None:
    """What cannot be read says nothing about any model."""
    file = tmp_path / "report.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert gate.read_entries(str(file)) == []
    assert gate.read_entries(str(tmp_path / "absent.json")) == []


def test_several_models_are_annotated_where_they_are_declared(
    gate: Any,  # noqa: ANN401 - a loaded script
    step: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Fail, inconclusive and unscanned are errors at their lines; a clean pass is nothing."""
    outputs = told(gate, step, monkeypatch, survey())
    commands = commands_in(capfd.readouterr().out)
    places = [(c.name, c.properties["file"], c.properties["line"]) for c in commands]
    assert places == [("error", "plmscan.yaml", line) for line in ("3", "6", "7")]
    assert commands[2].data == "example/gated: The Hub refuses. Set HF_TOKEN."
    assert (outputs["model-sha"], outputs["findings-count"]) == ("", "4")


def test_the_only_model_is_annotated_where_it_is_declared(
    gate: Any,  # noqa: ANN401 - a loaded script
    step: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A configuration of one model has a line, too, which its saved report keeps."""
    declared = Survey((Entry(poisoned(), Place("plmscan.yaml", 3)),))
    told(gate, step, monkeypatch, declared)
    (error,) = commands_in(capfd.readouterr().out)
    assert (error.properties["file"], error.properties["line"]) == ("plmscan.yaml", "3")
    (entry,) = survey_from_json(render(declared, Format.JSON)).entries
    assert entry.place == Place("plmscan.yaml", 3)


def test_findings_that_do_not_fail_are_warnings(
    gate: Any,  # noqa: ANN401 - a loaded script
    step: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A pass with mild findings says which is the worst; waived ones say nothing."""
    mild = replace(clean(), findings=poisoned().findings[-1:] * 2)
    outputs = told(gate, step, monkeypatch, Survey.of(mild), 0)
    (warning,) = commands_in(capfd.readouterr().out)
    assert warning.name == "warning"
    assert "example/encoder passes with PLM110 medium: modeling_odd.py" in warning.data
    assert warning.data.endswith("(+1 more)")
    assert (outputs["verdict"], outputs["findings-count"]) == ("pass", "2")
    assert outputs["model-sha"] == clean().model.revision
    assert told(gate, step, monkeypatch, Survey.of(waived()), 0)["findings-count"] == "0"
    assert commands_in(capfd.readouterr().out) == ()


def test_a_summary_that_github_would_drop_is_replaced(
    gate: Any,  # noqa: ANN401 - a loaded script
    step: Path,
) -> None:
    """Above the limit the verdict and a pointer are better than nothing."""
    (step / "long.md").write_text("x" * 2**20, encoding="utf-8")
    gate.summarize(str(step / "long.md"), "fail")
    text = (step / "STEP_SUMMARY").read_text(encoding="utf-8")
    assert text.startswith("\n## plmscan: FAIL\n\nThe report is too long")


def test_the_cache_is_named_after_what_is_asked(
    gate: Any,  # noqa: ANN401 - a loaded script
    step: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Same models, same name; other models, another revision or configuration, another name."""

    def named(**inputs: str) -> str:
        for name in ("MODELS", "REVISION", "CONFIG"):
            monkeypatch.setenv(f"INPUT_{name}", inputs.get(name.lower(), ""))
        gate.key()
        outputs = outputs_in((step / "OUTPUT").read_text(encoding="utf-8"))
        assert outputs["key"].startswith(outputs["prefix"])
        return outputs["prefix"]

    asked = [{"models": "a/b,\nc"}, {"models": "a/b", "revision": "c"}, {"config": "x.yaml"}]
    (step / "x.yaml").write_text("models: [a/b]\n", encoding="utf-8")
    names = [named(**inputs) for inputs in asked]
    (step / "plmscan.yaml").write_text("models: [c/d]\n", encoding="utf-8")
    names += [named(**inputs) for inputs in asked]
    assert len(set(names)) == len(names)
    assert named(**asked[0]) == names[3]
    assert all(name.startswith("plmscan-Linux-") and "," not in name for name in names)
