"""The Action and the workflows: what they pin, what they may do, and what they never mix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
import yaml

from plmscan.cli import app
from plmscan.reports import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
EVERY = [ACTION, *WORKFLOWS]

each_file = pytest.mark.parametrize("path", EVERY, ids=lambda path: path.name)
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)

WRITES = {
    "ci.yml": set(),
    "self-scan.yml": {"security-events"},
    "release.yml": {"id-token", "attestations"},
}
"""What the jobs of a workflow may write."""


def read(path: Path) -> dict[str, Any]:
    """The file as YAML 1.1 has it, but for ``on``, which is no word for true here."""
    told: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in told.items()}


def jobs_of(path: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow by name."""
    jobs: dict[str, dict[str, Any]] = read(path)["jobs"]
    return jobs


def steps_of(path: Path) -> Iterator[dict[str, Any]]:
    """Every step of the Action or of all jobs of a workflow."""
    if path == ACTION:
        yield from read(path)["runs"]["steps"]
        return
    for job in jobs_of(path).values():
        yield from job["steps"]


def test_there_are_three_workflows() -> None:
    """Tests, a scan of a model, and releases."""
    assert {path.name for path in WORKFLOWS} == set(WRITES)


@each_file
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    """A tag can be moved; a commit cannot, and the comment says which version it is."""
    used = re.findall(r"^\s*(?:- )?uses:(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(used) == sum("uses" in step for step in steps_of(path))
    for one in used:
        assert re.fullmatch(r" (\./|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)", one), one


def test_an_action_is_pinned_to_one_commit_everywhere() -> None:
    """An update that forgets a file is seen."""
    text = "".join(path.read_text(encoding="utf-8") for path in EVERY)
    pins = set(re.findall(r"uses: ([\w-]+/[\w-]+)[\w/-]*@(\w+ # \S+)", text))
    assert len(pins) == len({name for name, _ in pins})
    assert len(set(re.findall(r"\buv==\S+", text))) == 1


@each_file
def test_no_script_holds_an_expression(path: Path) -> None:
    """A value from outside reaches a script in its environment, never in its text."""
    for step in steps_of(path):
        assert "${{" not in step.get("run", "")
        assert "${{" not in step.get("uses", "")


@each_file
def test_nothing_is_written_for_later_steps_of_a_job(path: Path) -> None:
    """No script touches the environment or the path of the job, nor any evaluates its input."""
    scripts = "\n".join(step.get("run", "") for step in steps_of(path))
    assert not re.search(r"GITHUB_ENV|GITHUB_PATH|set-env|add-path|\beval\b", scripts)


@each_file
def test_no_secret_and_no_index_is_named(path: Path) -> None:
    """Publishing is trusted by identity, and packages come from where the user's client says."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"secrets\.|password|index-url|https?://", text)


@each_workflow
def test_a_workflow_has_no_rights_but_those_of_its_jobs(path: Path) -> None:
    """At the top nothing is allowed; each job says what it needs, and writes only what is known."""
    assert read(path)["permissions"] == {}
    for job in jobs_of(path).values():
        assert set(job["permissions"].values()) <= {"read", "write"}
        written = {name for name, right in job["permissions"].items() if right == "write"}
        assert written <= WRITES[path.name]


@each_workflow
def test_a_job_ends(path: Path) -> None:
    """Each has a limit of its own, well below the six hours of the runner."""
    assert all(0 < job["timeout-minutes"] <= 60 for job in jobs_of(path).values())


@each_workflow
def test_runs_do_not_pile_up(path: Path) -> None:
    """One run a branch; what publishes or uploads is not cut short."""
    concurrency = read(path)["concurrency"]
    assert "github.ref" in concurrency["group"]
    assert concurrency["cancel-in-progress"] is (path.name == "ci.yml")


@each_workflow
def test_a_checkout_leaves_no_credentials(path: Path) -> None:
    """The token is not left in the working folder, where a later step could read it."""
    for step in steps_of(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_findings_are_uploaded_also_when_the_model_fails() -> None:
    """That is when there is something to show."""
    (upload,) = (
        s
        for s in steps_of(ROOT / ".github/workflows/self-scan.yml")
        if "sarif_file" in s.get("with", {})
    )
    assert upload["if"].startswith("always() && ")


def test_only_the_job_that_publishes_is_trusted_by_the_index() -> None:
    """It runs no script and has no checkout, so nothing of the repository can speak in its name."""
    jobs = jobs_of(ROOT / ".github/workflows/release.yml")
    publish = jobs["publish"]
    assert publish["environment"] == "pypi"
    assert publish["permissions"] == {"id-token": "write"}
    assert set(publish["needs"]) == {"build", "attest"}
    used = [step.get("uses", "run") for step in publish["steps"]]
    assert [one.partition("@")[0] for one in used] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert "id-token" not in jobs["build"]["permissions"]


def test_every_input_of_the_action_is_used() -> None:
    """And nothing else is asked for; each comes to a script in a variable of its name."""
    text, told = ACTION.read_text(encoding="utf-8"), read(ACTION)
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(told["inputs"])
    for step in steps_of(ACTION):
        for name, value in step.get("env", {}).items():
            asked = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)
            assert asked is None or name == f"INPUT_{asked[1].upper().replace('-', '_')}"
    for about in (*told["inputs"].values(), *told["outputs"].values()):
        assert about["description"].endswith(".")
    assert all(isinstance(about["default"], str) for about in told["inputs"].values())


def test_every_step_of_the_action_that_tells_runs_also_after_a_failure() -> None:
    """The last one fails, and it alone; what comes before has told everything by then."""
    *_, last = steps_of(ACTION)
    assert last["run"].strip() == 'exit "$EXIT_CODE"'
    assert last["if"] == "always()"
    (tell,) = (step for step in steps_of(ACTION) if step.get("id") == "tell")
    assert tell["if"].startswith("always() && ")


def test_the_options_that_the_action_uses_exist() -> None:
    """What `plmscan check` is called with is what it takes, and so are the formats."""
    group = typer.main.get_command(app)
    options = {name for param in group.commands["check"].params for name in param.opts}  # type: ignore[attr-defined]
    script = (ROOT / "action" / "gate.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"--([a-z][a-z-]+)["=]', script)) | {"report"}
    (plain,) = re.findall(r"^OPTIONS = \((.*?)\)$", script, re.MULTILINE | re.DOTALL)
    named |= set(re.findall(r'"([\w-]+)"', plain))
    assert {f"--{name}" for name in named} <= options
    handed = next(step["env"] for step in steps_of(ACTION) if step.get("id") == "scan")
    for name in re.findall(r'"([\w-]+)"', plain):
        assert handed[f"INPUT_{name.upper().replace('-', '_')}"] == f"${{{{ inputs.{name} }}}}"
    assert len(named) >= 10
    formats = re.search(
        r"Formats are (.*)\.", " ".join(read(ACTION)["inputs"]["reports"]["description"].split())
    )
    assert formats
    assert set(re.split(r", | and ", formats[1])) <= set(Format)
