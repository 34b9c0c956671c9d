"""The part of GitHub's runner that a composite action meets: steps, expressions, files, commands.

Steps with ``run`` are run as the runner runs them.  Steps with ``uses`` are not, nor is anything
that the test says it has done itself.  Expressions are a subset; what is beyond it is an error.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Command", "Finished", "Step", "commands_in", "evaluate", "outputs_in", "run_action"]

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|\|\||&&|==|!=|[()]|[A-Za-z_][\w.-]*)")
_HOLE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_COMMANDS = frozenset(
    {"debug", "notice", "warning", "error", "group", "endgroup", "echo", "stop-commands"}
    | {"add-mask", "add-matcher", "remove-matcher", "add-path"}
    | {"save-state", "set-env", "set-output"}
)
"""What the runner obeys in the log of a step."""


@dataclass(frozen=True)
class Command:
    """A workflow command that the runner found in a log."""

    name: str
    """Such as ``error``."""
    properties: Mapping[str, str]
    """With its escapes undone, as is `data`."""
    data: str
    """What comes after it."""


@dataclass(frozen=True)
class Step:
    """A step that was run."""

    name: str
    """As action.yml has it."""
    code: int
    """Exit code."""
    log: str
    """Output and errors."""
    files: frozenset[str]
    """Files that were in the working folder when it began."""
    outputs: Mapping[str, str]
    """What it set."""
    summary: str
    """What the job summary held when it began."""

    @property
    def commands(self) -> tuple[Command, ...]:
        """What the runner obeys in the log."""
        return commands_in(self.log)


@dataclass(frozen=True)
class Finished:
    """An action that has run."""

    steps: tuple[Step, ...]
    """Those that were run, in order."""
    outputs: Mapping[str, str]
    """Of the action."""
    summary: str
    """The job summary."""
    environment: str
    """What was written for later steps of the job: variables and paths."""

    @property
    def code(self) -> int:
        """Exit code of the last step that failed; 0 if none did."""
        return next((step.code for step in reversed(self.steps) if step.code), 0)

    def step(self, name: str) -> Step:
        """The step ``name``."""
        return next(step for step in self.steps if step.name == name)


@dataclass
class _Context:
    """What expressions can see."""

    inputs: Mapping[str, str]
    """Inputs with their defaults."""
    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Outputs by step."""

    def value(self, name: str) -> str:
        """What ``name`` stands for; an output that was not set is empty."""
        match name.split("."):
            case ["inputs", key]:
                return self.inputs[key]
            case ["steps", step, "outputs", key]:
                return self.outputs[step].get(key, "")
            case _:
                msg = f"{name} is beyond this runner"
                raise ValueError(msg)


def run_action(
    action: Path,
    inputs: Mapping[str, str],
    folder: Path,
    environment: Mapping[str, str],
    done: Mapping[str, Mapping[str, str]],
    summary: str = "",
) -> Finished:
    """Run the steps of ``action`` in ``folder``.

    Args:
        action: the action.yml.
        inputs: those that the caller gives.
        folder: an empty folder for the runner; ``work`` in it is the working folder.
        environment: variables of the job.
        done: steps that are not run, by id, with the outputs that they are taken to have.
        summary: what earlier steps wrote to the job summary.
    """
    told: dict[str, Any] = yaml.safe_load(action.read_text(encoding="utf-8"))
    assert inputs.keys() <= told["inputs"].keys()
    defaults = {name: str(about.get("default", "")) for name, about in told["inputs"].items()}
    context = _Context({**defaults, **inputs}, dict(done))
    files = _Files(folder)
    files.path("STEP_SUMMARY").write_text(summary, encoding="utf-8")
    variables = {**environment, **files.variables(), "GITHUB_ACTION_PATH": str(action.parent)}
    steps: list[Step] = []
    for step in told["runs"]["steps"]:
        wanted = _is_wanted(step.get("if"), context, failed=any(s.code for s in steps))
        values = _filled({**step.get("env", {}), **step.get("with", {})}, context)
        if not wanted or "uses" in step or step.get("id") in done:
            context.outputs.setdefault(step.get("id", ""), {})
            continue
        assert step["shell"] == "bash"
        steps.append(_run(step, {**variables, **values}, files))
        context.outputs[step.get("id", "")] = steps[-1].outputs
    outputs = {name: about["value"] for name, about in told["outputs"].items()}
    left = files.text("ENV") + files.text("PATH")
    return Finished(tuple(steps), _filled(outputs, context), files.text("STEP_SUMMARY"), left)


@dataclass(frozen=True)
class _Files:
    """The files through which steps and runner speak."""

    folder: Path
    """Where they are."""

    def __post_init__(self) -> None:
        """Make them."""
        for name in ("work", "temp"):
            (self.folder / name).mkdir(exist_ok=True)
        for name in ("ENV", "OUTPUT", "PATH", "STATE", "STEP_SUMMARY"):
            self.path(name).touch()

    def path(self, name: str) -> Path:
        """The file that ``GITHUB_<name>`` names."""
        return self.folder / name.lower()

    def text(self, name: str) -> str:
        """What it holds."""
        return self.path(name).read_text(encoding="utf-8")

    def variables(self) -> dict[str, str]:
        """The variables that name them."""
        names = ("ENV", "OUTPUT", "PATH", "STATE", "STEP_SUMMARY")
        told = {f"GITHUB_{name}": str(self.path(name)) for name in names}
        work, temp = (str(self.folder / name) for name in ("work", "temp"))
        return told | {"GITHUB_WORKSPACE": work, "RUNNER_TEMP": temp, "RUNNER_OS": "Linux"}


def _run(step: Mapping[str, Any], variables: Mapping[str, str], files: _Files) -> Step:
    """Run a step as the runner does."""
    work, script = files.folder / "work", files.folder / "temp" / "step.sh"
    script.write_text(step["run"], encoding="utf-8")
    before = frozenset(str(path.relative_to(work)) for path in work.rglob("*"))
    summary = files.text("STEP_SUMMARY")
    files.path("OUTPUT").write_text("", encoding="utf-8")
    done = subprocess.run(
        ["/usr/bin/env", "bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=work,
        env=dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=240,
    )
    log = done.stdout.decode(errors="replace")
    outputs = outputs_in(files.text("OUTPUT"))
    return Step(step["name"], done.returncode, log, before, outputs, summary)


def _is_wanted(condition: str | None, context: _Context, *, failed: bool) -> bool:
    """Whether a step runs: without ``always()`` not after a step that failed."""
    if condition is None:
        return not failed
    return bool(evaluate(condition, context)) and ("always()" in condition or not failed)


def _filled(values: Mapping[str, object], context: _Context) -> dict[str, str]:
    """``values`` with their expressions evaluated."""
    return {
        name: _HOLE.sub(lambda hole: str(evaluate(hole[1], context)), str(value))
        for name, value in values.items()
    }


def evaluate(text: str, context: _Context) -> str | bool:
    """The value of the expression ``text``."""
    tokens = _TOKEN.findall(text)
    assert "".join(tokens) == re.sub(r"\s+(?=(?:[^']*'[^']*')*[^']*$)", "", text), text
    value, rest = _either(tokens, context)
    assert not rest, text
    return value


def _either(tokens: Sequence[str], context: _Context) -> tuple[str | bool, Sequence[str]]:
    """``a || b``: the first that is not empty."""
    value, rest = _both(tokens, context)
    while rest[:1] == ["||"]:
        other, rest = _both(rest[1:], context)
        value = value or other
    return value, rest


def _both(tokens: Sequence[str], context: _Context) -> tuple[str | bool, Sequence[str]]:
    """``a && b``: the last unless one before it is empty."""
    value, rest = _compared(tokens, context)
    while rest[:1] == ["&&"]:
        other, rest = _compared(rest[1:], context)
        value = value and other
    return value, rest


def _compared(tokens: Sequence[str], context: _Context) -> tuple[str | bool, Sequence[str]]:
    """``a == b`` or ``a != b`` or just ``a``."""
    value, rest = _atom(tokens, context)
    if rest[:1] not in (["=="], ["!="]):
        return value, rest
    other, after = _atom(rest[1:], context)
    return (value == other) is (rest[0] == "=="), after


def _atom(tokens: Sequence[str], context: _Context) -> tuple[str | bool, Sequence[str]]:
    """A text, ``always()`` or a name."""
    if list(tokens[:3]) == ["always", "(", ")"]:
        return True, tokens[3:]
    first, rest = tokens[0], tokens[1:]
    if first.startswith("'"):
        return first[1:-1].replace("''", "'"), rest
    return context.value(first), rest


def outputs_in(text: str) -> dict[str, str]:
    """What an output file sets."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        name, heredoc, mark = line.partition("<<")
        if heredoc and "=" not in name:
            value = []
            while (part := next(lines)) != mark:
                value.append(part)
            found[name] = "\n".join(value)
        else:
            name, _, found[name] = line.partition("=")
    return found


def commands_in(log: str) -> tuple[Command, ...]:
    """What the runner obeys in ``log``, which may switch it off and on again."""
    found, resume = [], None
    for line in re.split(r"\r\n|\n|\r", log):
        known = _COMMANDS | ({resume} if resume else set())
        command = _new_style(line, known) or _old_style(line, known)
        if command is None or (resume is not None and command.name != resume):
            continue
        if command.name == "stop-commands":
            resume = command.data
        elif command.name == resume:
            resume = None
        else:
            found.append(command)
    return tuple(found)


def _new_style(line: str, known: frozenset[str]) -> Command | None:
    """``::name key=value,key=value::data`` at the start of a line."""
    match = re.match(r"\s*::(.*?)::(.*)", line)
    if match is None:
        return None
    name, _, rest = match[1].partition(" ")
    pairs = (pair.partition("=") for pair in rest.strip().split(",") if pair)
    properties = {key: _unescaped(value, "\r\n:,%") for key, _, value in pairs}
    return Command(name, properties, _unescaped(match[2], "\r\n%")) if name in known else None


def _old_style(line: str, known: frozenset[str]) -> Command | None:
    """``##[name key=value;key=value]data`` anywhere in a line."""
    match = re.search(r"##\[(.*?)\](.*)", line)
    if match is None:
        return None
    name, _, rest = match[1].partition(" ")
    pairs = (pair.partition("=") for pair in rest.split(";") if pair)
    properties = {key: _unescaped(value, ";\r\n]%") for key, _, value in pairs}
    return Command(name, properties, _unescaped(match[2], ";\r\n]%")) if name in known else None


def _unescaped(text: str, marks: str) -> str:
    """``text`` with the escapes of ``marks`` undone, in the order in which the runner does it."""
    for mark in marks:
        text = text.replace(f"%{ord(mark):02X}", mark)
    return text
