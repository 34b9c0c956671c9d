# ruff: noqa: INP001 - no package: the steps of action.yml run it by its path
"""What the steps of the GitHub Action do, apart from installing plmscan.

``key`` names the cache of models, ``scan`` runs plmscan and keeps its exit code, ``tell`` reads the
report and writes outputs, job summary and annotations.  None of them fails over a verdict: the last
step of the Action does.  Standard library only; the Action's inputs come as ``INPUT_...``.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OPTIONS = (
    "config",
    "revision",
    "fail-on",
    "effort",
    "precision",
    "language",
    "reference",
    "base",
    "used-as",
    "rules",
    "baseline",
    "time-limit",
    "jobs",
)
"""Inputs that are options of ``plmscan check`` as they stand."""
REPEATED = ("adapter", "also")
"""Inputs that are an option for each of their words."""
CONFIGURATIONS = ("plmscan.yaml", "plmscan.yml", "pyproject.toml", "plmscan.lock")
"""Files of the working folder that may say which models are checked."""
CODES = {"pass": 0, "inconclusive": 2, "fail": 1}
"""Exit code of each verdict, mildest first."""
OWN_REPORTS = {"json": "report.json", "markdown": "report.md"}
"""Formats that the Action itself reads, and their files."""
TOLD_REPORTS = {"json": "report", "markdown": "markdown", "sarif": "sarif", "html": "html"}
"""Formats whose file an output of the Action names, and that output."""
RUNNER_FILES = ("ENV", "OUTPUT", "PATH", "STATE", "STEP_SUMMARY")
"""What a step writes to be heard by the runner; plmscan, which reads models, gets none of it."""
SUMMARY_LIMIT = 900 * 1024
"""Bytes; GitHub drops a summary of more than 1 MiB."""
LONGEST = 1000
"""Characters of an annotation."""


class InputError(Exception):
    """An input of the Action that means nothing."""


def asked(name: str) -> str:
    """The input ``name`` without blanks around it; empty if it was not given."""
    return os.environ.get(f"INPUT_{name.upper().replace('-', '_')}", "").strip()


def is_on(name: str) -> bool:
    """Whether the input ``name`` says true.

    Raises:
        InputError: it says neither true nor false.
    """
    value = asked(name).lower()
    if value not in ("", "true", "false"):
        msg = f"The input {name} must be true or false, not {value!r}."
        raise InputError(msg)
    return value == "true"


def asked_reports() -> list[tuple[str, str]]:
    """Format and file of every report that the caller wants.

    Raises:
        InputError: a line names no file.
    """
    lines = (line.partition("=") for line in asked("reports").splitlines() if line.strip())
    found = [(form.strip(), file.strip()) for form, _, file in lines]
    if not all(file for _, file in found):
        msg = "The input reports takes lines such as sarif=plmscan.sarif."
        raise InputError(msg)
    return found


def command(reports: Sequence[tuple[str, str]]) -> list[str]:
    """The command line that writes ``reports``; no shell ever sees it.

    Raises:
        InputError: an input means nothing.
    """
    given = [(name, asked(name)) for name in OPTIONS]
    return [
        # Isolated: nothing in the working folder or in PYTHONPATH is imported.
        *(sys.executable, "-I", "-X", "utf8", "-m", "plmscan", "check"),
        *(f"--{name}={value}" for name, value in given if value),
        *(f"--{name}={one}" for name in REPEATED for one in asked(name).split()),
        *(["--offline"] if is_on("offline") else []),
        *(["--all-files"] if is_on("all-files") else []),
        *(["--control"] if is_on("control") else []),
        *(["--fail-fast"] if is_on("fail-fast") else []),
        *(["--require-signature"] if is_on("require-signature") else []),
        *(f"--signer={who}" for who in map(str.strip, asked("signers").splitlines()) if who),
        *([] if is_on("cache") else ["--no-cache"]),
        *(f"--report={form}={file}" for form, file in reports),
        *("--", *asked("models").split()),
    ]


def scan() -> None:
    """Run plmscan; its exit code and the reports that it wrote become outputs of the step."""
    # A new folder, so that no report of an earlier step can be taken for one of this run.
    folder = Path(tempfile.mkdtemp(prefix="plmscan-", dir=os.environ["RUNNER_TEMP"]))
    own = {form: str(folder / name) for form, name in OWN_REPORTS.items()}
    try:
        reports = [*own.items(), *asked_reports()]
        line = command(reports)
    except InputError as error:
        annotate("error", str(error), title="plmscan")
        output({"exit-code": str(CODES["inconclusive"])})
        return
    before = {file: signature(file) for _, file in reports}
    code = run(line)
    written = {form: file for form, file in reports if signature(file) not in (None, before[file])}
    told = {name: written.get(form, "") for form, name in TOLD_REPORTS.items()}
    output(
        {"exit-code": str(code), "own-json": own["json"], "own-markdown": own["markdown"]} | told
    )


def run(line: Sequence[str]) -> int:
    """Run ``line``, whose output may hold text of a model, and return 0, 1 or 2."""
    hidden = {f"GITHUB_{name}" for name in RUNNER_FILES}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    token = secrets.token_hex(16)
    show(f"::stop-commands::{token}\n{shlex.join(line)}")
    try:
        code = subprocess.run(  # noqa: S603 - a list, no shell
            line,
            check=False,
            env=environment,
            # One stream: what another held back would be read when commands work again.
            stderr=subprocess.STDOUT,
        ).returncode
    finally:
        show(f"\n::{token}::")
    return code if code in CODES.values() else CODES["inconclusive"]


def signature(file: str) -> tuple[int, int] | None:
    """What changes when ``file`` is written again; None if there is no such file."""
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_mtime_ns


def tell() -> None:
    """Turn the report into outputs, a job summary and annotations."""
    entries = read_entries(os.environ.get("OWN_JSON", ""))
    verdict = decided(int(os.environ["SCAN_CODE"]), entries)
    only = entries[0] if len(entries) == 1 else {}
    identity = (only.get("report") or {}).get("model") or {}
    counts = [len(counted(entry)) for entry in entries]
    output(
        {
            "verdict": verdict,
            "exit-code": str(CODES[verdict]),
            "model-sha": identity.get("revision") or "",
            "findings-count": str(sum(counts)),
        }
    )
    summarize(os.environ.get("OWN_MARKDOWN", ""), verdict)
    for level, message, properties in remarks(entries):
        annotate(level, message, **properties)


def read_entries(file: str) -> list[dict[str, Any]]:
    """The models of the JSON report ``file``; none if there is no report that can be read."""
    try:
        document = json.loads(Path(file).read_text(encoding="utf-8"))
        if document["schema"] == "plmscan.survey/v1":
            return list(document["entries"])
        if document["schema"] == "plmscan.report/v1":
            name, verdict = document["model"]["id"], document["verdict"]
            return [
                {
                    "model": name,
                    "verdict": verdict,
                    "place": document.get("place"),
                    "report": document,
                }
            ]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return []


def decided(code: int, entries: Sequence[Mapping[str, Any]]) -> str:
    """The worst verdict of the report, where the exit code agrees; else only a fail still holds."""
    order = list(CODES)
    told = [str(entry.get("verdict")) for entry in entries]
    if not told or not CODES.keys() >= set(told):
        return "inconclusive"
    worst = max(told, key=order.index)
    return worst if CODES[worst] == code or worst == "fail" else "inconclusive"


def counted(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The findings of a model that are not waived."""
    findings = (entry.get("report") or {}).get("findings") or []
    return [finding for finding in findings if finding.get("waived") is None]


def remarks(
    entries: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Level, message and properties: errors for what does not pass, warnings for mild findings."""
    if not entries:
        yield (
            "error",
            "plmscan wrote no report; the log of its step says why.",
            {"title": "plmscan"},
        )
    for entry in entries:
        verdict, found = entry.get("verdict"), counted(entry)
        place = entry.get("place") or {}
        properties = {name: str(place[name]) for name in ("file", "line") if place.get(name)}
        properties["title"] = f"plmscan: {verdict}"
        if verdict != "pass":
            yield "error", f"{entry.get('model')}: {reason(entry)}", properties
        elif found:
            worst = found[0]
            told = f"{worst['rule']} {worst['severity']}: {worst['message']}"
            more = f" (+{len(found) - 1} more)" if len(found) > 1 else ""
            yield "warning", f"{entry.get('model')} passes with {told}{more}", properties


def reason(entry: Mapping[str, Any]) -> str:
    """Why the verdict on a model is what it is, in one sentence."""
    report = entry.get("report")
    if not report:
        return f"{entry.get('problem') or ''} {entry.get('remedy') or ''}".strip()
    return str((report.get("reasons") or ["no reason was recorded."])[0])


def summarize(file: str, verdict: str) -> None:
    """Append the Markdown report ``file`` to the job summary, or say why it is not there."""
    head = f"## plmscan: {verdict.upper()}\n\n"
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = f"{head}plmscan wrote no report; the log of its step says why.\n"
    if len(text.encode()) > SUMMARY_LIMIT:
        text = f"{head}The report is too long for a summary: see the other reports.\n"
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open(
        "a", encoding="utf-8", newline="\n"
    ) as summary:
        summary.write(f"\n{text}\n")


def key() -> None:
    """Name the cache: the system, what is asked about, and the version that asks."""
    named = [Path(asked("config"))] if asked("config") else []
    told = [asked("models"), asked("revision")]
    for path in (*named, *map(Path, CONFIGURATIONS)):
        with suppress(OSError):
            told.append(path.read_bytes().hex())
    about = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
    prefix = f"plmscan-{os.environ['RUNNER_OS']}-{about}-"
    output({"prefix": prefix, "key": prefix + version("plmscan")})


def output(values: Mapping[str, str]) -> None:
    """Set outputs of the step; a value may hold line breaks."""
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8", newline="\n") as file:
        for name, value in values.items():
            mark = f"end-{secrets.token_hex(16)}"
            file.write(f"{name}<<{mark}\n{value}\n{mark}\n")


def annotate(level: str, message: str, **properties: str) -> None:
    """Print a workflow command, which no text in it can end or follow with another."""
    told = ",".join(f"{name}={escaped(value, ':,')}" for name, value in properties.items())
    show(f"::{level} {told}::{escaped(message[:LONGEST])}")


def escaped(text: str, marks: str = "") -> str:
    """``text`` as data of a workflow command; with ``marks`` escaped, as a property of one."""
    seen = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    for mark in f"%\r\n{marks}":
        seen = seen.replace(mark, f"%{ord(mark):02X}")
    return seen


def show(text: str) -> None:
    """Print a line of the log at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"key": key, "scan": scan, "tell": tell}[sys.argv[1]]()
