"""What a fleet found, for people and for programs: HTML, Markdown, CSV, and SARIF in parts.

The tables come from the index, which is small; only SARIF reads the reports, a part at a time.
"""

from __future__ import annotations

import csv
import hashlib
import io
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from plmscan.errors import FleetError, ReportError
from plmscan.evidence import Report, Verdict
from plmscan.fleet.answers import read_answer
from plmscan.fleet.drift import Change, verdict_of
from plmscan.probes.words import counted
from plmscan.reports import sarif
from plmscan.reports.markdown import table
from plmscan.reports.visible import visible
from plmscan.survey import WORST_FIRST, Entry, Refusal, Survey
from plmscan.whole_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from plmscan.fleet.drift import Drift
    from plmscan.fleet.ledger import Ledger, Row

__all__ = ["Summary", "write_summary"]

_MOODS = {"pass": "good", "fail": "bad"}
_MOST_TOLD = 200
"""Models that the Markdown names: what changed, then those that did not pass."""
_COLUMNS = (
    "model", "verdict", "why", "rules", "changed", "nearest to a rule", "margin", "bytes",
    "seconds", "attempts", "commit", "same files as", "declared at",
)  # fmt: skip
_NUMBERS = frozenset({"margin", "bytes", "seconds", "attempts"})
_MOST_RESULTS = 20_000
"""Results of a part; GitHub takes 25 000 a run."""
_MOST_MODELS = 500
"""Models of a part; GitHub takes 10 MB."""
_UNANSWERED = "not answered"


@dataclass(frozen=True)
class Summary:
    """What became of all models of a run."""

    rows: tuple[Row, ...]
    """The models, in the order in which they were named."""
    drifts: tuple[Drift, ...] | None = None
    """What changed since an earlier run; None without one."""

    @property
    def verdict(self) -> Verdict:
        """The worst of all models; with an earlier run, of those that count."""
        if self.drifts is not None:
            return verdict_of(self.drifts)
        found = {_verdict(row) for row in self.rows}
        return next((verdict for verdict in WORST_FIRST if verdict in found), Verdict.INCONCLUSIVE)

    @property
    def told(self) -> str:
        """How many models there are of each verdict."""
        counts = Counter(row.verdict or _UNANSWERED for row in self.rows)
        names = [*(v.name.lower() for v in Verdict), _UNANSWERED]
        tally = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
        return f"{counted(len(self.rows), 'model')}: {tally}."

    def lines(self) -> Iterator[str]:
        """What else there is to say, a sentence or two each."""
        if self.drifts is not None:
            changes = Counter(change for drift in self.drifts for change in drift.changes)
            named = ", ".join(f"{changes[c]} {c}" for c in Change if changes[c]) or "nothing"
            worse = sum(drift.counts for drift in self.drifts)
            yield (
                f"Since the earlier run: {named}. The verdict is that of the "
                f"{counted(worse, 'model')} that are new, have other weights, or got worse."
            )
        twins = sum(row.same_as is not None for row in self.rows)
        if twins:
            yield f"Answered by the scan of another model with the same files: {twins}."
        yield from self._estimates()

    def _estimates(self) -> Iterator[str]:
        """How far what was used is from what was expected."""
        timed = [
            (row.seconds * row.cores, row.expected_seconds)
            for row in self.rows
            if row.seconds and row.cores and row.expected_seconds
        ]
        sized = [r.used_bytes / r.asked_bytes for r in self.rows if r.used_bytes and r.asked_bytes]
        if timed:
            ratio = median(took / expected for took, expected in timed)
            yield (
                f"{counted(len(timed), 'model')} searched; the core seconds were {ratio:.2f} times "
                "what was expected (median)."
            )
        if sized:
            yield (
                f"The searches used {median(sized):.0%} of the memory that was asked for (median), "
                f"{max(sized):.0%} at most."
            )


def write_summary(summary: Summary, ledger: Ledger) -> None:
    """Write ``summary.html``, ``.md``, ``.csv`` and ``sarif/part-N.sarif`` beside the index.

    Raises:
        FleetError: they cannot be written.
    """
    folder = ledger.folder
    try:
        replace_file(folder / "summary.html", _html(summary))
        replace_file(folder / "summary.md", _markdown(summary))
        replace_file(folder / "summary.csv", _csv(summary))
        _write_sarif(summary, ledger, folder / "sarif")
    except OSError as error:
        msg = f"The summary cannot be written to {folder}: {error.strerror}."
        raise FleetError(msg, "Make room; the same command writes it again.") from error


def _verdict(row: Row) -> Verdict:
    """The verdict of a row; inconclusive before there is one."""
    return Verdict[(row.verdict or "inconclusive").upper()]


def _cells(row: Row, drift: Drift | None) -> tuple[str, ...]:
    """A row of the table, by `_COLUMNS`."""
    return (
        row.name,
        row.verdict or _UNANSWERED,
        row.reason or "",
        row.rules or "",
        "" if drift is None else drift.told,
        row.nearest or "",
        "" if row.margin is None else f"{row.margin:.2f}",
        "" if row.weights is None else str(row.weights),
        "" if row.seconds is None else f"{row.seconds:.1f}",
        str(row.attempts),
        row.revision or "",
        row.same_as or "",
        row.place or "",
    )


def _table(summary: Summary) -> Iterator[tuple[Row, tuple[str, ...]]]:
    """All models with their cells."""
    changed = {drift.name: drift for drift in summary.drifts or () if drift.after is not None}
    return ((row, _cells(row, changed.get(row.name))) for row in summary.rows)


@dataclass(frozen=True)
class _Shown:
    """A row of the page."""

    cells: tuple[str, ...]
    """What it says."""
    report: str | None
    """File that it links to."""
    mood: str
    """Class of its verdict."""


def _html(summary: Summary) -> str:
    """The page; whatever comes from a model is made visible and escaped."""
    pages = [PackageLoader(name, "page") for name in ("plmscan.fleet", "plmscan.reports")]
    environment = Environment(
        loader=ChoiceLoader(pages),
        autoescape=True,
        finalize=lambda v: visible(v) if type(v) is str else v,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, more, script = (
        environment.get_template(name).render() for name in ("style.css", "fleet.css", "sort.js")
    )
    return environment.get_template("fleet.html.jinja").render(
        verdict=summary.verdict,
        mood=_MOODS.get(summary.verdict.name.lower(), "unsure"),
        told=summary.told,
        lines=list(summary.lines()),
        columns=_COLUMNS,
        numbers=_NUMBERS,
        rows=[
            _Shown(cells, row.report, _MOODS.get(cells[1], "unsure"))
            for row, cells in _table(summary)
        ],
        style=Markup(style + more),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704 - the same
        style_hash=_hash(style + more),
        script_hash=_hash(script),
    )


def _hash(text: str) -> str:
    """SHA-256 as a content security policy names it."""
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _markdown(summary: Summary) -> str:
    """The verdict, and the models that changed or did not pass."""
    told = {drift.name for drift in summary.drifts or ()}
    chosen = [
        (*cells[:2], cells[4], cells[3], cells[2])
        for row, cells in _table(summary)
        if row.name in told or row.verdict != "pass"
    ]
    blocks = [f"## plmscan: {summary.verdict.name}", summary.told, *summary.lines()]
    if chosen:
        blocks.append(table(("model", "verdict", "changed", "rules", "why"), chosen, _MOST_TOLD))
    return "\n\n".join(blocks) + "\n"


def _csv(summary: Summary) -> str:
    """Every model, a line each; no cell begins a formula of a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for _, cells in _table(summary):
        writer.writerow([_plain(name, cell) for name, cell in zip(_COLUMNS, cells, strict=True)])
    return out.getvalue()


def _plain(column: str, cell: str) -> str:
    """A cell that no spreadsheet computes."""
    told = visible(cell)
    return f"'{told}" if column not in _NUMBERS and told[:1] in "=+-@" and told else told


def _write_sarif(summary: Summary, ledger: Ledger, folder: Path) -> None:
    """Write the findings in parts, each small enough for code scanning."""
    folder.mkdir(exist_ok=True)
    kept = set()
    for number, survey in enumerate(_parts(summary, ledger), start=1):
        name = f"part-{number:03}.sarif"
        replace_file(folder / name, sarif.render(survey))
        kept.add(name)
    for file in folder.glob("part-*.sarif"):
        if file.name not in kept:
            file.unlink()


def _parts(summary: Summary, ledger: Ledger) -> Iterator[Survey]:
    """All answered models, in surveys of bounded size."""
    entries: list[Entry] = []
    results = 0
    for entry in _entries(summary.rows, ledger):
        more = len(entry.outcome.findings) if isinstance(entry.outcome, Report) else 0
        if entries and (len(entries) >= _MOST_MODELS or results + more > _MOST_RESULTS):
            yield Survey(tuple(entries))
            entries, results = [], 0
        entries.append(entry)
        results += more
    if entries:
        yield Survey(tuple(entries))


def _entries(rows: Iterable[Row], ledger: Ledger) -> Iterator[Entry]:
    """What is known about every model, one after the other."""
    for row in rows:
        try:
            yield read_answer(ledger.report(row) or b"")[1]
        except ReportError:
            known = row.report is not None
            problem = f"{'Its report is gone or broken' if known else 'It was not answered'}."
            remedy = "Run the same `plmscan fleet` again; it goes on from there."
            yield Entry(Refusal(row.model or row.name, problem, remedy))
