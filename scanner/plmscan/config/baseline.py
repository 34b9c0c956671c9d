"""The baseline: the findings of one day, so that only new ones fail.

It is a way into an old project, not a verdict: a team that begins with plmscan writes down what is
there, lets new findings fail, and removes the old ones one after the other.  Each entry names what
it waives in words that a reviewer can check, and its fingerprint must belong to those words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from plmscan.config.files import seen_from_here
from plmscan.config.written import Written, read_written, write_json
from plmscan.errors import ReportError
from plmscan.evidence import ProbeStatus
from plmscan.probes.words import counted
from plmscan.survey import Refusal
from plmscan.waivers import Known, fingerprint, fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from plmscan.evidence import Finding, Report
    from plmscan.survey import Survey

__all__ = ["SCHEMA", "left_out", "read_baseline", "write_baseline"]

SCHEMA = "plmscan.baseline/v1"
"""Name and version of the format."""
_AGAIN = "Write the baseline anew; what must count for nothing by hand is a waiver."
_ENDED = (ProbeStatus.FAILED, ProbeStatus.TIMED_OUT)
"""Ends of a probe that leave a gap that nobody has named."""
_NOT_KNOWN = frozenset({"lock-drift"})
"""Probes whose findings a baseline never holds: a wanted change of a file belongs in the lock."""


class _FindingV1(Written):
    """One finding as it is written."""

    rule: str
    subject: str
    probe: str
    message: str
    fingerprint: str


class _BaselineV1(Written):
    """A baseline as it is written."""

    schema_: Literal["plmscan.baseline/v1"] = Field(alias="schema")
    models: dict[str, list[_FindingV1]]


def write_baseline(path: Path, survey: Survey, *, keep_others: bool = False) -> int:
    """Write the findings of ``survey`` to the baseline ``path``; how many it holds.

    Findings of every severity are written, since the bar may be lowered later; those that the
    configuration waives are not, since a waiver ends and a baseline does not.  What was in the
    baseline before and is found no more is left out.  An inconclusive report is written as far as
    it goes: a baseline only ever waives what it names.

    Args:
        path: the file.
        survey: the models, all of which need a report.
        keep_others: whether to keep what the file holds about models that are not in ``survey``.

    Raises:
        ReportError: a model has no report, or the file cannot be written or, to be kept, read.
    """
    _require_reports(survey)
    models: dict[str, list[_FindingV1]] = {}
    if keep_others and path.exists():
        models |= _read(path).models
    models |= {report.model.id: list(_findings(report)) for report in survey.reports}
    written = {
        model: [finding.model_dump() for finding in sorted(found, key=_rank)]
        for model, found in sorted(models.items())
    }
    write_json(path, {"schema": SCHEMA, "models": written}, ReportError)
    return sum(map(len, written.values()))


def read_baseline(path: Path) -> Known:
    """The findings that `write_baseline` wrote.

    Raises:
        ReportError: the file cannot be read, is no baseline, or was changed by hand.
    """
    models = _read(path).models.values()
    found = frozenset(finding.fingerprint for findings in models for finding in findings)
    return Known(found, seen_from_here(path).as_posix())


def left_out(survey: Survey) -> Iterator[str]:
    """What of ``survey`` no baseline holds, a sentence a kind."""
    findings = [finding for report in survey.reports for finding in report.findings]
    rest = [finding for finding in findings if not _belongs(finding)]
    about_lock = sum(finding.evidence.probe in _NOT_KNOWN for finding in rest)
    if about_lock:
        about = counted(about_lock, "finding")
        yield f"Left out: {about} about the lock file, which `plmscan lock` writes anew."
    if waived := len(rest) - about_lock:
        yield f"Left out: {counted(waived, 'finding')} that the configuration waives until a day."
    if gaps := sum(map(_gaps, survey.reports)):
        unread = counted(gaps, "thing")
        yield (
            f"Left out: {unread} that could not be checked. Neither a baseline nor a waiver makes "
            "up for that: nobody knows what is there."
        )


def _gaps(report: Report) -> int:
    """How many things that were not checked keep the model of ``report`` from a pass."""
    ended = [run for run in report.probes if run.status in _ENDED]
    return len(ended) + sum(gap.blocks_pass for run in report.probes for gap in run.gaps)


def _require_reports(survey: Survey) -> None:
    """Refuse a survey that says nothing about one of its models.

    Raises:
        ReportError: there is such a model.
    """
    refusals = [e.outcome for e in survey.entries if isinstance(e.outcome, Refusal)]
    if refusals:
        models = ", ".join(refusal.model for refusal in refusals)
        msg = f"The baseline is not written, since there is no report about {models}."
        first = refusals[0]
        raise ReportError(msg, f"Mend that first, or leave the model out. {first.diagnostics}")


def _findings(report: Report) -> Iterator[_FindingV1]:
    """What ``report`` adds to a baseline, each finding once."""
    written: set[str] = set()
    for finding in filter(_belongs, report.findings):
        mark = fingerprint(report.model.id, finding)
        if mark not in written:
            written.add(mark)
            yield _FindingV1(
                rule=finding.rule,
                subject=finding.evidence.subject,
                probe=finding.evidence.probe,
                message=finding.message,
                fingerprint=mark,
            )


def _belongs(finding: Finding) -> bool:
    """Whether a baseline holds ``finding``: it counts, or does not only because it was known."""
    counts = finding.waived is None or finding.waived.by == "baseline"
    return counts and finding.evidence.probe not in _NOT_KNOWN


def _rank(finding: _FindingV1) -> tuple[str, ...]:
    """Sort key."""
    return finding.rule, finding.subject, finding.fingerprint


def _read(path: Path) -> _BaselineV1:
    """The baseline in ``path``, of which each fingerprint belongs to its words."""
    document, baseline = read_written(path, _BaselineV1, ReportError, _AGAIN)
    for model, findings in baseline.models.items():
        for position, finding in enumerate(findings):
            named = fingerprint_of(finding.rule, model, finding.probe, finding.subject)
            if finding.fingerprint != named:
                problem = f"the fingerprint is not that of {finding.rule} about {model!a}."
                document.refuse(("models", model, position, "fingerprint"), problem, _AGAIN)
    return baseline
