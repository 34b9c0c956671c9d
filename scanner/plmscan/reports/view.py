"""What reports for people tell of a scan, before any markup.

What is told, in which order and in which words is decided here, and in `plmscan.reports.wording`;
the console, Markdown and HTML only mark it up, each as far as it has room.  Texts may hold whatever
a model says: whoever shows them makes them `visible`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, compress, groupby
from typing import TYPE_CHECKING

from plmscan.evidence import CONTROL, ProbeStatus, Report, Verdict
from plmscan.kinds import Kind
from plmscan.reports.wording import (
    ANSWERS_LEGEND,
    MOST,
    TEXTS_LEGEND,
    bytes_of,
    margin,
    short,
    some,
    trigger_legend,
    waiver,
)
from plmscan.version import __version__
from plmscan.waivers import set_aside

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from plmscan.evidence import (
        Demonstration,
        Evidence,
        Finding,
        ModelIdentity,
        ProbeRun,
        Trigger,
    )
    from plmscan.survey import Entry

__all__ = [
    "Alike",
    "ModelView",
    "ReportView",
    "Statement",
    "TableView",
    "answered",
    "replaced_rules",
    "scanner_version",
    "untold_reasons",
]

_Key = tuple[str, tuple[int, ...]]
"""Text and ids of a trigger."""
_MOST_ANSWERS = 3
"""Requests that are told of one trigger."""
_LONGEST_SUBJECT = 100
"""Characters of a subject that is shown with its finding; a part of one would be no use."""
_TEXTS = "text-inspection"
"""The probe whose evidence is about given texts."""


@dataclass(frozen=True)
class TableView:
    """Things of one kind, a row each."""

    columns: tuple[str, ...]
    """What each column holds; the first one names the thing."""
    rows: tuple[tuple[str, ...], ...]
    """Cells of each row; empty without any."""
    legend: str = ""
    """What the columns hold, in sentences."""
    numbers: frozenset[str] = frozenset()
    """Columns of numbers."""

    def without_empty_columns(self) -> TableView:
        """The same where no column is empty in every row."""
        held = [any(column) for column in zip(*self.rows, strict=True)]
        rows = tuple(tuple(compress(row, held)) for row in self.rows)
        return replace(self, columns=tuple(compress(self.columns, held)), rows=rows)


@dataclass(frozen=True)
class Alike:
    """Findings of one rule and one severity that are waived alike."""

    first: Finding
    """Stands for what they share."""
    rest: tuple[Finding, ...]
    """The others."""

    @property
    def severity(self) -> str:
        """How bad they are, in a word."""
        return self.first.severity.name.lower()

    @property
    def confidence(self) -> str:
        """How likely they are true."""
        return f"{self.first.confidence.name.lower()} confidence"

    @property
    def waiver(self) -> str:
        """Why they do not count; empty if they do."""
        return waiver(self.first.waived) if self.first.waived else ""

    @property
    def subjects(self) -> tuple[str, ...]:
        """What a waiver has to name, quoted as YAML reads it; none that is too long."""
        short_ones = (one for one in self._subjects if len(one) <= _LONGEST_SUBJECT)
        return tuple(json.dumps(one, ensure_ascii=False) for one in short_ones)[:MOST]

    @property
    def subjects_left_out(self) -> int:
        """How many more there are."""
        return len(self._subjects) - len(self.subjects)

    @property
    def _subjects(self) -> tuple[str, ...]:
        """What they are about, each once."""
        return tuple(dict.fromkeys(f.evidence.subject for f in (self.first, *self.rest)))

    @property
    def messages(self) -> Iterator[str]:
        """All that they say, those about triggers that a table names in one sentence."""
        named = sum(f.evidence.trigger is not None for f in self.rest)
        others = [f for f in self.rest if f.evidence.trigger is None]
        explained = [repr(f.evidence.subject) for f in others if f.evidence.explains]
        yield self.first.message
        yield from (f.message for f in others if not f.evidence.explains)
        if named:
            yield f"The same holds for {named:,} more of the triggers above."
        if explained:
            yield f"Likewise {some(explained, 12)}."


@dataclass(frozen=True)
class Statement:
    """What a probe says that it searched, or that it did not check."""

    probe: str
    """Its id."""
    text: str
    """What it says: a statement, or why something was left out."""
    subject: str = ""
    """What was left out; empty for what was searched."""
    blocks_pass: bool = False
    """Whether that keeps the model from a pass."""

    def __str__(self) -> str:
        """As one sentence."""
        return f"{self.subject}: {self.text}" if self.subject else self.text


@dataclass(frozen=True)
class ReportView:
    """What a report tells below its verdict."""

    report: Report
    """The report."""
    other_reasons: tuple[str, ...]
    """Reasons of the verdict, where it has several, that the findings do not tell."""
    triggers: TableView
    """Its triggers, in its order."""
    answers: TableView
    """What a model that writes answers to a few requests, without and with each trigger."""
    texts: TableView
    """Inspected texts, those with the strongest suspects first."""
    counted: tuple[Alike, ...]
    """Findings that count in the verdict."""
    waived: tuple[Alike, ...]
    """Those that do not."""
    margin: str
    """What comes nearest to failing the model; empty if nothing does."""
    searched: tuple[Statement, ...]
    """What the probes covered."""
    unchecked: tuple[Statement, ...]
    """What they left out."""
    control: tuple[str, ...]
    """What became of triggers that were planted in a copy of the model; empty without a control."""
    replaced: str
    """Which packaged rules were replaced and by whom, in a sentence; empty without any."""

    @classmethod
    def of(cls, report: Report) -> ReportView:
        """What ``report`` tells."""
        several = len(report.reasons) > 1
        own = [run for run in report.probes if run.id != CONTROL]
        return cls(
            report=report,
            other_reasons=tuple(untold_reasons(report)) if several else (),
            triggers=_triggers(report),
            answers=_answers(report),
            texts=_texts(report.probes),
            counted=tuple(_groups(f for f in report.findings if not f.waived)),
            waived=tuple(_groups(f for f in report.findings if f.waived)),
            margin=margin(report.nearest) if report.nearest else "",
            searched=_each_once(map(_searched, own)),
            unchecked=_each_once(map(_unchecked, own)),
            control=tuple(_control(report.probes)),
            replaced=_replaced(report),
        )


@dataclass(frozen=True)
class ModelView:
    """What is told of one model, scanned or not."""

    entry: Entry
    """The model, its verdict, and the first reason of that."""
    reasons: tuple[str, ...]
    """Every reason; at least one."""
    to_do: str
    """What to do about a fail, or to have the model scanned; may be empty."""
    count: str
    """How many findings of which severity count, and how many are waived."""
    facts: tuple[tuple[str, str], ...]
    """Names and values of what identifies the model."""
    report: ReportView | None
    """What was found; None if it could not be scanned."""

    @classmethod
    def of(cls, entry: Entry) -> ModelView:
        """What ``entry`` tells."""
        outcome = entry.outcome
        declared = (("declared at", str(entry.place)),) if entry.place else ()
        if not isinstance(outcome, Report):
            reasons = (outcome.problem,)
            return cls(entry, reasons, outcome.remedy, "not scanned", declared, None)
        view = ReportView.of(outcome)
        failing = view.counted[:1] if entry.verdict is Verdict.FAIL else ()
        return cls(
            entry=entry,
            reasons=outcome.reasons or (entry.reason,),
            to_do="".join(group.first.remediation for group in failing),
            count=_count(outcome.findings),
            facts=(*_facts(outcome.model), *declared),
            report=view,
        )


def replaced_rules(report: Report) -> frozenset[str]:
    """Ids of packaged rules that a folder named with ``--rules`` replaced."""
    return frozenset(filter(None, str(report.settings.get("rules_overridden") or "").split(", ")))


def _replaced(report: Report) -> str:
    """That the verdict is by other rules than plmscan's own; empty where it is not."""
    ids = sorted(replaced_rules(report))
    what, was = ("rule", "was") if len(ids) == 1 else ("rules", "were")
    told = f"Packaged {what} {', '.join(ids)} {was} replaced by {report.settings.get('rules')}."
    return told if ids else ""


def scanner_version(reports: Iterable[Report]) -> str:
    """Version of plmscan that scanned, as the first report that tells says; else this one's."""
    told = (report.versions.get("plmscan") for report in reports)
    return next(filter(None, told), __version__)


def untold_reasons(report: Report) -> Iterator[str]:
    """Reasons of the verdict that no finding tells."""
    rules = tuple(f"{finding.rule} " for finding in report.findings)
    failing = report.verdict is Verdict.FAIL
    yield from (r for r in report.reasons if not (failing and r.startswith(rules)))


def _count(findings: Collection[Finding]) -> str:
    """How many of ``findings`` count, by severity, and how many are waived."""
    found = Counter(f.severity for f in findings if not f.waived)
    told = [f"{found[level]} {level.name.lower()}" for level in sorted(found, reverse=True)]
    return ", ".join([*told, *set_aside(findings)]) or "none"


def _facts(model: ModelIdentity) -> Iterator[tuple[str, str]]:
    """What identifies a model."""
    yield "id", model.id
    yield "revision", model.revision or "none (a folder)"
    yield "architecture", model.architecture or "unknown"
    yield "parameters", "unknown" if model.parameters is None else f"{model.parameters:,}"
    size = bytes_of(sum(file.size for file in model.files))
    yield "files", f"{len(model.files):,} with sha256 digests, {size}"
    if model.signature:
        yield "signature", model.signature
    kinds = Counter(file.kind or "of unknown kind" for file in model.others)
    if kinds:
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield "besides", f"{len(model.others):,} not read ({told})"
    if model.base is not None:
        yield "base", _part(model.base)
    for adapter in model.adapters:
        yield "adapter", _part(adapter)


def _part(model: ModelIdentity) -> str:
    """Another model that was measured together with it."""
    weights = [f for f in model.files if f.kind == Kind.SAFETENSORS]
    digests = some([f"{file.path} sha256 {file.sha256[:16]}" for file in weights])
    commit = f"commit {model.revision}" if model.revision else ""
    return f"{model.id} ({', '.join(filter(None, (commit, digests)))})"


def _triggers(report: Report) -> TableView:
    """The triggers of ``report``, with the numbers that tell them from other tokens."""
    excused = _excused(report.findings)
    rows = tuple(
        (
            f"“{one.text}”",
            one.location,
            *map(short, (one.displacement, one.scatter, one.z, one.p_value)),
            "; ".join(_notes(one, excused)),
        )
        for one in report.triggers
    )
    columns = ("trigger", "location", "D", "S", "z", "p", "notes")
    legend = trigger_legend(report.triggers)
    return TableView(columns, rows, legend, frozenset("DSzp")).without_empty_columns()


def _notes(trigger: Trigger, excused: Collection[_Key]) -> Iterator[str]:
    """What a reader has to know of ``trigger`` beside its numbers."""
    if (trigger.text, trigger.token_ids) in excused:
        yield "waived"
    if not trigger.retokenizes:
        yield "typing it gives other ids"
    if trigger.target_label is not None:
        yield f"drives to {trigger.target_label}"
    if trigger.core:
        yield f"so does {' or '.join(trigger.core)} alone"
    if trigger.heads:
        yield f"heads {', '.join(trigger.heads)}"
    if trigger.variants:
        yield f"also {some(trigger.variants)}"


def _excused(findings: Collection[Finding]) -> frozenset[_Key]:
    """Triggers of which no finding counts."""
    found = [(t.text, t.token_ids, f.waived) for f in findings if (t := f.evidence.trigger)]
    counted = {(text, ids) for text, ids, waived in found if waived is None}
    return frozenset((text, ids) for text, ids, _ in found) - counted


def answered(report: Report, trigger: Trigger) -> tuple[Demonstration, ...]:
    """Requests with ``trigger`` in them, with what a model that writes answers; each once."""
    about = (
        evidence
        for run in report.probes
        for evidence in run.evidence
        if evidence.trigger is not None and evidence.trigger.token_ids == trigger.token_ids
    )
    shown = (one for evidence in about for one in evidence.demonstrations)
    return tuple(dict.fromkeys(one for one in shown if one.triggered_answer is not None))


def _answers(report: Report) -> TableView:
    """A few requests for each trigger, in the order of the triggers."""
    triggers = dict.fromkeys(report.triggers)
    shown = (one for trigger in triggers for one in answered(report, trigger)[:_MOST_ANSWERS])
    rows = tuple(
        (one.text, one.answer or "", one.triggered_answer or "") for one in dict.fromkeys(shown)
    )
    return TableView(("request, «trigger»", "answer without", "answer with"), rows, ANSWERS_LEGEND)


def _texts(runs: Iterable[ProbeRun]) -> TableView:
    """Inspected texts, those with the strongest suspects first."""
    found = [e for run in runs if run.id == _TEXTS for e in run.evidence]
    columns = ("text, «what decides it»", "label or answer, without", "strength", "p")
    rows = tuple(map(_text, sorted(found, key=_force)))
    table = TableView(columns, rows, TEXTS_LEGEND, frozenset({"strength", "p"}))
    return table.without_empty_columns()


def _force(evidence: Evidence) -> tuple[float, float]:
    """What a text's suspect does elsewhere: p, then strength or without labels little scatter."""
    metrics = evidence.metrics
    strength = metrics.get("strength", metrics.get("held", -metrics.get("scatter", math.inf)))
    return metrics.get("force_p", 1.0), -strength


def _text(evidence: Evidence) -> tuple[str, ...]:
    """One text, cell by cell."""
    details, metrics = evidence.details, evidence.metrics
    names = ("label", "without", "answer", "answer_without")
    labels = [told for name in names if (told := str(details.get(name, "")))]
    strength = metrics.get("strength", metrics.get("held", metrics.get("scatter")))
    return (
        str(details.get("marked") or evidence.subject),
        " → ".join(dict.fromkeys(labels)),
        "" if strength is None else short(strength),
        short(metrics.get("force_p", 1.0)),
    )


def _groups(findings: Iterable[Finding]) -> Iterator[Alike]:
    """Findings by severity, rule and waiver, in the report's order."""
    for _, group in groupby(findings, key=lambda f: (f.severity, f.rule, f.waived)):
        first, *rest = group
        yield Alike(first, tuple(rest))


def _searched(run: ProbeRun) -> Iterator[Statement]:
    """What a probe covered."""
    yield from (Statement(run.id, coverage.statement) for coverage in run.coverage)


def _unchecked(run: ProbeRun) -> Iterator[Statement]:
    """What a probe left out; first how it ended, if badly."""
    if run.status.blocks_pass and run.status is not ProbeStatus.INCOMPLETE:
        yield Statement(run.id, run.reason, str(run.status), blocks_pass=True)
    yield from (Statement(run.id, g.reason, g.subject, g.blocks_pass) for g in run.gaps)


def _control(runs: Iterable[ProbeRun]) -> Iterator[str]:
    """What a control found, or why there was none."""
    for run in runs:
        if run.id == CONTROL:
            yield from map(str, (*_searched(run), *_unchecked(run)))


def _each_once(told: Iterable[Iterable[Statement]]) -> tuple[Statement, ...]:
    """Every statement, each once."""
    return tuple(dict.fromkeys(chain.from_iterable(told)))
