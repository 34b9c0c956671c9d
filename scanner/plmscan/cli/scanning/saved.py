"""Reports that were saved as JSON, and judging them again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plmscan.cli.options import FailOn
from plmscan.config import read_baseline
from plmscan.errors import ReportError
from plmscan.evidence import Report
from plmscan.plain_text import NotTextError, decoded
from plmscan.reports.json_v1 import survey_from_json
from plmscan.scan import rejudge
from plmscan.survey import Entry, Survey
from plmscan.waivers import Waivers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["judged", "read_saved"]


def read_saved(file: Path) -> Survey:
    """The report in ``file``, or those of several models.

    Raises:
        ReportError: it cannot be read, or is no report.
    """
    try:
        return survey_from_json(decoded(file.read_bytes()))
    except (OSError, NotTextError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"The report {file} cannot be read: {reason}."
        raise ReportError(msg, "Write one with `plmscan check --format json`.") from error


def judged(
    survey: Survey, rules: Path | None, baseline: Path | None, fail_on: FailOn | None
) -> Survey:
    """``survey`` with its evidence judged anew; nothing is measured.

    Without ``fail_on`` each report keeps the severity at which it failed.

    Raises:
        PlmscanError: the rules or the baseline cannot be read.
    """
    known = None if baseline is None else read_baseline(baseline)

    def again(entry: Entry) -> Entry:
        report = entry.outcome
        if not isinstance(report, Report):
            return entry
        bar = fail_on or _bar_of(report)
        waivers = Waivers(report.model.id, known=known)
        return replace(entry, outcome=rejudge(report, rules, bar.severity, waivers))

    return Survey(tuple(map(again, survey.entries)))


def _bar_of(report: Report) -> FailOn:
    """The severity at which a saved report failed."""
    told = report.settings.get("fail_on")
    return FailOn(told) if told in set(FailOn) else FailOn.HIGH
