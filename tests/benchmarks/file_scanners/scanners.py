"""Other scanners of model files as processes: how each is started, and what it says.

None of them is a dependency: each is given as the Python interpreter of an environment that has
it.  modelaudit reports its use, the names of files included, unless it is told not to, so it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from tests.benchmarks.runs import measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.benchmarks.runs import Usage

    Said = Iterator[tuple[str, "Answer", str]]

__all__ = ["OWN", "SCANNERS", "Answer", "Result", "Scanner", "scan"]

_QUIET = ("env", "PROMPTFOO_DISABLE_TELEMETRY=1", "NO_ANALYTICS=1")
_FICKLING = """
import json, sys
from pathlib import Path
from fickling.analysis import Severity
from fickling.loader import scan_file, scan_zip_archive
said = []
for path in sorted(p for p in Path(sys.argv[1]).rglob("*") if p.is_file()):
    try:
        packed = path.read_bytes()[:2] == b"PK"
        read = scan_zip_archive(str(path)).values() if packed else [scan_file(str(path))]
        said += [(str(path), one.severity.name, one.severity.value[0]) for one in read]
    except Exception as error:
        said.append((str(path), f"{type(error).__name__}: {error}"[:200], -1))
print(json.dumps(said))
"""
_OVERT = 4
"""What fickling calls likely overtly malicious."""
_LINE = re.compile(
    r"(?P<path>/.*?): (?P<level>dangerous|suspicious) import '(?P<name>[^']*)' FOUND"
)
_BROKEN = re.compile(r"ERROR: [\w ]+ (?P<path>/[^:]*)(?P<words>.*)")


class Answer(IntEnum):
    """What a scanner says about a specimen; of several answers the last counts."""

    NOTHING = 0
    """It complains about nothing."""
    UNSURE = 1
    """A warning, or something that it could not read."""
    FOUND = 2
    """It says that the file is harmful."""


@dataclass(frozen=True)
class Scanner:
    """One scanner."""

    arguments: Callable[[Path, Path], tuple[str, ...]]
    """What the interpreter is given, by the folder to scan and the file to write."""
    read: Callable[[str], Said]
    """Place, answer and words of everything in what it wrote."""
    before: tuple[str, ...] = ()
    """What stands before the interpreter."""


@dataclass(frozen=True)
class Result:
    """What a scanner says about one group."""

    answers: dict[str, tuple[Answer, str]]
    """Answer and words by specimen."""
    usage: Usage
    """What it took."""


def scan(scanner: Scanner, python: str, folder: Path, names: list[str]) -> Result:
    """Run ``scanner`` on the specimens ``names`` of ``folder``."""
    target = folder.parent / "answer"
    target.unlink(missing_ok=True)
    written, said_there = target.with_suffix(".out"), target.with_suffix(".err")
    # It prints into a file, and the shell makes way for it, so that its memory can be told.
    shell = ("sh", "-c", 'out=$1; shift; exec "$@" > "$out"', "sh", str(written.resolve()))
    inner = (*scanner.before, python, *scanner.arguments(folder.resolve(), target.resolve()))
    usage = measured([*shell, *inner], said_there)
    text = (target if target.exists() else written).read_text("utf-8", "replace")
    answers = dict.fromkeys(names, (Answer.NOTHING, ""))
    for place, answer, words in scanner.read(text):
        name = next((n for n in names if re.search(rf"(^|/){re.escape(n)}(/|$)", place)), None)
        if name is not None and answer > answers[name][0]:
            answers[name] = answer, words
    return Result(answers, usage)


def _of_plmscan(text: str) -> Said:
    """A report in JSON; what only remarks on something is no answer."""
    report = json.loads(text)
    for finding in report["findings"]:
        is_harm = finding["severity"] in ("critical", "high")
        answer = Answer.FOUND if is_harm else Answer.UNSURE
        if finding["severity"] != "low":
            yield finding["evidence"]["subject"], answer, f"{finding['rule']} {finding['message']}"
    for gap in (gap for probe in report["probes"] for gap in probe["gaps"]):
        if gap["blocks_pass"]:
            yield gap["subject"], Answer.UNSURE, gap["reason"]


def _of_picklescan(text: str) -> Said:
    """Its lines."""
    for line in text.splitlines():
        if match := _LINE.match(line):
            is_harm = match["level"] == "dangerous"
            yield match["path"], Answer.FOUND if is_harm else Answer.UNSURE, match["name"]
        elif match := _BROKEN.match(line):
            yield match["path"], Answer.UNSURE, match["words"]


def _of_fickling(text: str) -> Said:
    """What `_FICKLING` prints last; before it stand fickling's own warnings."""
    for path, words, level in json.loads(text.splitlines()[-1]):
        if level:
            yield path, Answer.FOUND if level >= _OVERT else Answer.UNSURE, words


def _of_modelaudit(text: str) -> Said:
    """A report in JSON.

    What an ONNX model reads outside of its folder is the place of that finding, so it counts for
    no specimen here.
    """
    graded = {"critical": Answer.FOUND, "warning": Answer.UNSURE}
    for issue in json.loads(text)["issues"]:
        answer = graded.get(issue["severity"], Answer.NOTHING)
        yield issue["location"] or "", answer, f"{issue.get('rule_code')} {issue['message']}"


OWN = "plmscan"
SCANNERS = {
    OWN: Scanner(
        lambda folder, target: (
            *("-m", "plmscan", "check", str(folder), "--files-only"),
            *("--format", "json", "--output", str(target)),
        ),
        _of_plmscan,
    ),
    "picklescan": Scanner(
        lambda folder, _target: ("-m", "picklescan", "--path", str(folder)), _of_picklescan
    ),
    "fickling": Scanner(lambda folder, _target: ("-c", _FICKLING, str(folder)), _of_fickling),
    "modelaudit": Scanner(
        lambda folder, target: (
            *("-m", "modelaudit", "scan", str(folder), "--no-cache", "--no-whitelist"),
            *("--format", "json", "--output", str(target)),
        ),
        _of_modelaudit,
        _QUIET,
    ),
}
"""By name, ours first."""
