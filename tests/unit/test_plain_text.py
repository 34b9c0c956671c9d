"""Files that a person hands in are read as Windows editors write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from plmscan.carriers import given_texts
from plmscan.cli.scanning.plan import Asked, targets
from plmscan.cli.scanning.saved import read_saved
from plmscan.config import Lock, read_baseline, read_config, read_lock, write_baseline, write_lock
from plmscan.errors import PlmscanError
from plmscan.plain_text import NotTextError, decoded
from plmscan.reports import Format, render
from plmscan.rules import load_rules
from plmscan.survey import Survey
from tests.specimens import clean, poisoned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RULE = """\
id: ACME001
name: mine
probe: trigger-sweep
severity: high
confidence: high
when: {z: {gte: 1}}
message: m
description: d
remediation: r
references: [r]
since: "1"
"""


def rules_of(path: Path) -> list[str]:
    """Rule files are named by their folder."""
    return [rule.id for rule in load_rules(path.parent)]


def baseline(path: Path) -> None:
    """A baseline as plmscan writes it."""
    write_baseline(path, Survey.of(poisoned()))


def lock(path: Path) -> None:
    """A lock as plmscan writes it."""
    write_lock(Lock.of(path, [("example/encoder", None, clean().model)]))


def report(path: Path) -> None:
    """A report as plmscan writes it."""
    path.write_text(render(poisoned(), Format.JSON), encoding="utf-8")


def holding(text: str) -> Callable[[Path], object]:
    """A file that a person writes."""
    return lambda path: path.write_text(text, encoding="utf-8")


HANDED: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], Any]]] = {
    # what: file name, who writes it, what plmscan makes of it
    "models": (
        "models.txt",
        holding("org/a\n# none\norg/b\n"),
        lambda path: [target.source for target in targets(Asked(models_file=path))[1]],
    ),
    "texts": ("texts.txt", holding("one\ntwo\n"), given_texts),
    "yaml": (
        "plmscan.yaml",
        holding("models:\n  - id: org/a\n"),
        lambda path: [(m.source, m.place.line) for m in read_config(path).models],
    ),
    "toml": (
        "pyproject.toml",
        holding("[tool.plmscan]\nfail-on = 'low'\nmodels = [{id = 'org/a'}]\n"),
        lambda path: [(m.source, m.place.line) for m in read_config(path).models],
    ),
    "baseline": ("known.json", baseline, lambda path: read_baseline(path).fingerprints),
    "lock": ("plmscan.lock", lock, lambda path: dict(read_lock(path).models)),
    "rules": ("own.yaml", holding(RULE), rules_of),
    "report": ("report.json", report, read_saved),
}
HANDED_FILES = pytest.mark.parametrize(("name", "written", "read"), HANDED.values(), ids=HANDED)


@HANDED_FILES
def test_a_byte_order_mark_and_line_ends_are_no_matter(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    written: Callable[[Path], object],
    read: Callable[[Path], Any],
) -> None:
    """The same is read, with the same line numbers, from a file that Windows wrote."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    written(path)
    plain = path.read_bytes()
    before = read(path)
    assert before
    path.write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"))
    assert read(path) == before


@HANDED_FILES
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_other_encodings_are_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    written: Callable[[Path], object],
    read: Callable[[Path], Any],
    encoding: str,
) -> None:
    """Windows PowerShell writes UTF-16: it is called that, and UTF-8 is asked for."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    written(path)
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    with pytest.raises(PlmscanError) as caught:
        read(path)
    kind = "holds NUL bytes" if encoding == "utf-16-be" else "it is UTF-16 text, not UTF-8"
    assert kind in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in caught.value.diagnostics()


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"a\nb\xff", 2, "not UTF-8"),
        (b"a\r\n\r\nb\0", 3, "NUL"),
        (json.dumps("x").encode("utf-16-le"), 1, "NUL"),
        (b"\xff\xfea\0", 1, "UTF-16"),
    ],
)
def test_what_is_no_text_is_told_with_its_line(data: bytes, line: int, reason: str) -> None:
    """Where to look, and what was found."""
    with pytest.raises(NotTextError, match=reason) as caught:
        decoded(data)
    assert caught.value.line == line


def test_a_mark_inside_a_text_stays() -> None:
    """Only the one at the very start is the editor's."""
    assert decoded(b"\xef\xbb\xbfa\xef\xbb\xbf\r\rb\r\n") == "a\ufeff\r\rb\n"
