"""Waivers that waive nothing, which would otherwise only show by the finding that still counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.evidence import Report
from plmscan.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plmscan.cli.scanning.plan import Job
    from plmscan.survey import Survey
    from plmscan.waivers import Waiver

__all__ = ["unmatched"]

_NAMED = 8
"""Subjects that one remark names."""


def unmatched(jobs: Sequence[Job], survey: Survey) -> Iterator[str]:
    """A sentence for every waiver that could have matched a finding of this run, and matched none.

    Nothing is said of one whose models were not all scanned, or whose rule had nothing to judge.
    """
    outcomes = [entry.outcome for entry in survey.entries]
    waivers = [job.settings.waivers.in_force for job in jobs]
    for waiver in dict.fromkeys(waiver for own in waivers for waiver in own):
        about = [o for own, o in zip(waivers, outcomes, strict=True) if waiver in own]
        reports = [outcome for outcome in about if isinstance(outcome, Report)]
        matches = any(waiver.covers(finding) for report in reports for finding in report.findings)
        if len(reports) == len(about) and not matches:
            yield from _remark(waiver, reports, _probe(waiver.rule, jobs))


def _probe(rule_id: str, jobs: Sequence[Job]) -> str | None:
    """The probe of the rule with that id; None if there is no such rule."""
    folders = dict.fromkeys(job.settings.rules for job in jobs)
    rules = (rule for folder in folders for rule in load_rules(folder))
    return next((rule.probe for rule in rules if rule.id == rule_id), None)


def _remark(waiver: Waiver, reports: Sequence[Report], probe: str | None) -> Iterator[str]:
    """What there is to say about a waiver that matched none of the findings of ``reports``."""
    head = f"The waiver of {waiver.rule} at {waiver.place} matches no finding"
    if probe is None:
        yield f"{head}: there is no such rule. `plmscan rules` lists them."
    elif all(_has_run(report, probe) for report in reports):
        found = (f.evidence.subject for r in reports for f in r.findings if f.rule == waiver.rule)
        names = list(dict.fromkeys(map(repr, found)))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        told = (
            f"the rule found something about {', '.join(names[:_NAMED])}{more}"
            if names
            else "the rule found nothing"
        )
        about = "" if waiver.subject is None else f" about {waiver.subject!r}"
        yield f"{head}{about}: {told}. Correct the waiver or remove it."


def _has_run(report: Report, probe: str) -> bool:
    """Whether ``probe`` measured all that the model of ``report`` has for it."""
    return any(run.id == probe and not run.status.blocks_pass for run in report.probes)
