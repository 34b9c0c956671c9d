"""The report for code scanning: SARIF 2.1.0, one run for all models.

A model is seldom a file of the repository that is scanned, so a result points at the line that
names the model, at a file of a model folder, or else at the model's name; the logical location
always says which model and what in it.  GitHub rejects a result without a physical location, an
absolute URI and an empty text.  It takes 20 runs a file and none of a category twice, so all models
are one run, however many they are; the run names no category, so that whoever uploads it may.
GitHub closes the alerts of a category that a new upload does not repeat, so fingerprints hold
neither revision nor numbers nor severity.

Text that comes from a model is made visible, and then escaped as sections 3.11.5 and 3.11.6 of the
specification ask: a brace starts no placeholder, and a bracket starts no link.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from pathlib import PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from plmscan.evidence import Report, Severity, Verdict
from plmscan.layout import ADAPTER, gguf_models
from plmscan.reports.view import answered, replaced_rules, scanner_version, untold_reasons
from plmscan.reports.visible import shown
from plmscan.reports.wording import justification
from plmscan.rules import Rule, load_rules
from plmscan.waivers import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from plmscan.evidence import Finding
    from plmscan.survey import Entry, Survey

__all__ = ["render"]

_Json = dict[str, Any]

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
_SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "3.0",
}
"""What GitHub sorts alerts by; it reads them as CVSS scores."""
_TAGS = ["security", "machine-learning", "supply-chain"]
_SEMANTIC = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~&])")
_MOST_RESULTS = 25_000
"""Results that GitHub takes of a run."""
_LONGEST = 1024
"""Characters that GitHub takes of a description."""
_CUT = "{}\\"
"""What may be half of an escape where a message is cut."""
_BRACES = str.maketrans({"{": "{{", "}": "}}"})
_LINKS = str.maketrans({"\\": "\\\\", "[": "\\[", "]": "\\]"})


def render(survey: Survey) -> str:
    """``survey`` as a SARIF log that ends with a newline."""
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(survey)]}
    return json.dumps(log, indent=2, allow_nan=False) + "\n"


def _run(survey: Survey) -> _Json:
    """What the survey says about its models."""
    rules = _rules(survey, load_rules())
    results = list(_results(survey, [rule.id for rule in rules]))
    judges = filter(None, (report.versions.get("judged-by") for report in survey.reports[:1]))
    version = next(judges, scanner_version(survey.reports[:1]))
    return {
        "tool": {"driver": _driver(version, rules)},
        "invocations": [_invocation(survey, len(results) - _MOST_RESULTS)],
        "results": _worst(results),
        "properties": {
            "verdict": survey.verdict.name.lower(),
            "models": [_model(entry) for entry in survey.entries],
        },
    }


def _worst(results: list[_Json]) -> list[_Json]:
    """The worst ``results`` of those that GitHub takes, in their order."""
    ranks = ("error", "warning", "note")
    by_rank = sorted(range(len(results)), key=lambda at: ranks.index(results[at]["level"]))
    return [results[at] for at in sorted(by_rank[:_MOST_RESULTS])]


def _rules(survey: Survey, packaged: Iterable[Rule]) -> list[Rule]:
    """The packaged rules that a scan could apply, and whatever else fired, sorted by id."""
    reports = survey.reports
    replaced = {rule for report in reports for rule in replaced_rules(report)}
    ran = {run.id for report in reports for run in report.probes}
    known = {r.id: r for r in packaged if r.probe in ran and r.id not in replaced}
    fired = [finding for report in reports for finding in report.findings]
    guessed = {f.rule: _guessed(f) for f in fired if f.rule not in known}
    return [rule for _, rule in sorted((known | guessed).items())]


def _guessed(finding: Finding) -> Rule:
    """What a finding tells about a rule that plmscan does not ship."""
    description = (
        f"The rule {finding.rule} judges what the probe {finding.evidence.probe} measures. "
        f"It comes from a folder that was named with --rules."
    )
    return Rule.model_construct(
        id=finding.rule,
        name=f"rule-{finding.rule}",
        description=description,
        remediation=finding.remediation,
        references=(),
        severity=finding.severity,
        confidence=finding.confidence,
    )


def _driver(version: str, rules: Iterable[Rule]) -> _Json:
    """plmscan, and the rules that it knows."""
    semantic = {"semanticVersion": version} if _SEMANTIC.fullmatch(version) else {}
    return {
        "name": "plmscan",
        "version": shown(version),
        **semantic,
        "rules": [_descriptor(rule) for rule in rules],
    }


def _descriptor(rule: Rule) -> _Json:
    """One rule; GitHub titles an alert with the short description."""
    title = rule.name.replace("-", " ").capitalize()
    return {
        "id": shown(rule.id),
        "name": shown(rule.name),
        "shortDescription": {"text": _brief(title)},
        "fullDescription": {"text": _brief(rule.description)},
        "help": _help(rule),
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "security-severity": _SCORES[rule.severity],
            "precision": rule.confidence.name.lower(),
            "tags": _TAGS,
        },
    }


def _brief(text: str) -> str:
    """``text`` as a SARIF message that GitHub does not find too long."""
    message = _message(text)
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST - 1].rstrip(_CUT)}…"


def _help(rule: Rule) -> _Json:
    """Why a rule matters and what to do, for people who read an alert."""
    sources = "; ".join(rule.references)
    text = [rule.description, rule.remediation, *([f"References: {sources}."] if sources else [])]
    links = "\n".join(f"- {_linked(reference)}" for reference in rule.references)
    markdown = [
        _escaped(rule.description),
        f"**What to do:** {_escaped(rule.remediation)}",
        *([f"**References:**\n{links}"] if links else []),
    ]
    return {
        "text": "\n\n".join(map(_message, text)),
        "markdown": "\n\n".join(markdown).translate(_BRACES),
    }


def _linked(reference: str) -> str:
    """A reference in Markdown, as a link if it is an address."""
    address = re.fullmatch(r"https?://[^\s<>]+", reference)
    return f"<{reference}>" if address else _escaped(reference)


def _escaped(text: str) -> str:
    """``text`` in Markdown, so that nothing in it is markup."""
    return _MARKDOWN.sub(r"\\\1", shown(text))


def _invocation(survey: Survey, left_out: int) -> _Json:
    """How the scan of the models ended: one process, which exits with the verdict on all."""
    alone = len(survey.entries) == 1
    notes = [note for entry in survey.entries for note in _notifications(entry, alone=alone)]
    if left_out > 0:
        told = f"{left_out} results are left out, the mildest: GitHub takes {_MOST_RESULTS} a run."
        notes.append(_notification("warning", told))
    told_all = {
        "executionSuccessful": all(e.verdict is not Verdict.INCONCLUSIVE for e in survey.entries),
        "exitCode": survey.verdict.value,
        "exitCodeDescription": f"{survey.verdict.name.lower()}: the verdict on all models together",
    }
    return {**told_all, "toolExecutionNotifications": notes} if notes else told_all


def _notifications(entry: Entry, *, alone: bool) -> Iterator[_Json]:
    """Why a model has no verdict, or has one in spite of what was not measured; each once."""
    level = "error" if entry.verdict is Verdict.INCONCLUSIVE else "warning"
    report = entry.outcome
    if not isinstance(report, Report):
        yield _notification(level, f"{entry.model}: {report.diagnostics}")
        return
    named = "" if alone else f"{_named(report)}: "
    for told in dict.fromkeys(_untold(report)):
        yield _notification(level, f"{named}{told}")


def _notification(level: str, text: str) -> _Json:
    """Something that is to be said about a scan as a whole."""
    return {"level": level, "message": {"text": _message(text)}}


def _untold(report: Report) -> Iterator[str]:
    """Reasons of a verdict that no result tells, and what blocks a pass."""
    if report.settings.get("used_as") is not None or report.verdict is not Verdict.PASS:
        yield from untold_reasons(report)
    for run in report.probes:
        yield from (f"{run.id}: {gap.subject}: {gap.reason}" for gap in run.gaps if gap.blocks_pass)


def _model(entry: Entry) -> _Json:
    """The verdict on one model, and which revision it is about."""
    told = {"model": shown(entry.model), "verdict": entry.verdict.name.lower()}
    if isinstance(entry.outcome, Report):
        model = entry.outcome.model
        known = {"revision": model.revision, "signature": model.signature}
        told |= {name: shown(value) for name, value in known.items() if value}
    return told


def _results(survey: Survey, ids: list[str]) -> Iterator[_Json]:
    """Every finding, model by model, in the order of its report."""
    # Section 3.27.23: either all results of a run say whether they are suppressed, or none does.
    suppressible = any(f.waived for report in survey.reports for f in report.findings)
    seen: Counter[str] = Counter()
    for entry, report in _reported(survey):
        for finding in report.findings:
            stable = fingerprint(report.model.id, finding)
            seen[stable] += 1
            result = {
                "ruleId": shown(finding.rule),
                "ruleIndex": ids.index(finding.rule),
                "level": _LEVELS[finding.severity],
                "message": {"text": _message(_told(report, finding))},
                "locations": [_location(entry, report, finding)],
                "partialFingerprints": {
                    "plmscan/v1": stable,
                    "primaryLocationLineHash": f"{stable}:{seen[stable]}",
                },
            }
            yield result | ({"suppressions": _suppressions(finding)} if suppressible else {})


def _told(report: Report, finding: Finding) -> str:
    """What a finding says, what the model answers to one request with its trigger, and which."""
    trigger = finding.evidence.trigger
    shown_ones = answered(report, trigger)[:1] if trigger is not None else ()
    example = "".join(
        f" To “{one.text}” it answers “{one.triggered_answer}”, and “{one.answer}” without."
        for one in shown_ones
    )
    return f"{finding.message}{example} Model: {_named(report)}."


def _reported(survey: Survey) -> Iterator[tuple[Entry, Report]]:
    """The models that there is a report about."""
    for entry in survey.entries:
        if isinstance(entry.outcome, Report):
            yield entry, entry.outcome


def _suppressions(finding: Finding) -> list[_Json]:
    """Why a finding does not count; nothing if it does."""
    if finding.waived is None:
        return []
    why = shown(justification(finding.waived))
    return [{"kind": "external", "status": "accepted", "justification": why}]


def _location(entry: Entry, report: Report, finding: Finding) -> _Json:
    """Where to look, in the repository and in the model."""
    subject = finding.evidence.subject
    uri, line = _physical(entry, report, subject)
    return {
        "physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}},
        "logicalLocations": [
            {
                "name": shown(subject),
                "fullyQualifiedName": f"{shown(_named(report))}:{shown(subject)}",
                "kind": "resource",
            }
        ],
    }


def _physical(entry: Entry, report: Report, subject: str) -> tuple[str, int]:
    """Relative URI and line: what declares the model, a file of its folder, or its name."""
    place, model = entry.place, report.model
    if place is not None and (declared := _inside(place.file)):
        return declared, max(1, place.line)
    if model.revision is not None:
        return _inside(model.id) or _last(model.id), 1
    files = [file.path for file in model.files]
    about = subject if subject in files else _described(files)
    return _inside(model.id, about) or _last(model.id), 1


def _described(files: Sequence[str]) -> str:
    """The file that says what a model is, of its ``files``."""
    if "config.json" in files:
        return "config.json"
    return ADAPTER if ADAPTER in files else next(iter(gguf_models(files)), "config.json")


def _inside(*parts: str) -> str | None:
    """The URI of a path in the working folder; None if a part of it leads out of its folder."""
    path = ""
    for part in map(PurePath, parts):
        step = posixpath.normpath(part.as_posix())
        if part.is_absolute() or PureWindowsPath(part).anchor or step.split("/")[0] == "..":
            return None
        path = posixpath.normpath(f"{path or '.'}/{step}")
    return None if path == "." else _quoted(path)


def _last(path: str) -> str:
    """The URI of the last part of a path's name."""
    name = PureWindowsPath(path).name
    return _quoted(name) if name not in ("", "..") else "model"


def _quoted(path: str) -> str:
    """``path`` as a relative URI; a colon or a control character is written as bytes."""
    return quote(path.encode("utf-8", "backslashreplace"))


def _named(report: Report) -> str:
    """Which model, at which revision."""
    model = report.model
    return f"{model.id}@{model.revision}" if model.revision else model.id


def _message(text: str) -> str:
    """``text`` as a SARIF message, in which nothing is a placeholder or a link."""
    told = shown(text)
    plain = told.translate(_LINKS) if "](" in told else told
    return plain.translate(_BRACES)
