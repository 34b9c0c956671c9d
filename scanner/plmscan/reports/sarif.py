"""The report for code scanning: SARIF 2.1.0, one run a model.

A model is seldom a file of the repository that is scanned, so a result points at the line that
names the model, at a file of a model folder, or else at the model's name; the logical location
always says which model and what in it.  GitHub rejects a result without a physical location, an
absolute URI, an empty text, and two runs of one category.  It closes the alerts of a category that
a new upload does not repeat, so fingerprints hold neither revision nor numbers nor severity.

Text that comes from a model is made visible, and then escaped as sections 3.11.5 and 3.11.6 of the
specification ask: a brace starts no placeholder, and a bracket starts no link.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import plmscan
from plmscan.evidence import Confidence, Report, Severity, Verdict
from plmscan.reports.visible import visible
from plmscan.rules import load_rules
from plmscan.waivers import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from plmscan.evidence import Finding, Waived
    from plmscan.rules import Rule
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
_PRECISION = {Confidence.HIGH: "high", Confidence.MEDIUM: "medium", Confidence.LOW: "low"}
_TAGS = ["security", "machine-learning", "supply-chain"]
_SEMANTIC = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~&])")
_LONGEST = 1024
"""Characters that GitHub takes of a description."""
_CUT = "{}\\"
"""What may be half of an escape where a message is cut."""
_BRACES = str.maketrans({"{": "{{", "}": "}}"})
_LINKS = str.maketrans({"\\": "\\\\", "[": "\\[", "]": "\\]"})


@dataclass(frozen=True)
class _Words:
    """What a descriptor says about a rule."""

    id: str
    """Such as ``PLM201``."""
    name: str
    """The same for people."""
    description: str
    """Why a finding matters."""
    remediation: str
    """What to do about it."""
    references: tuple[str, ...]
    """Papers, advisories, specifications."""
    severity: Severity
    """How bad, if true."""
    confidence: Confidence
    """How likely true."""

    @classmethod
    def of(cls, rule: Rule) -> _Words:
        """The words of a packaged rule."""
        return cls(
            rule.id,
            rule.name,
            rule.description,
            rule.remediation,
            rule.references,
            rule.severity,
            rule.confidence,
        )

    @classmethod
    def guessed(cls, finding: Finding) -> _Words:
        """What a finding tells about a rule that plmscan does not ship."""
        description = (
            f"The rule {finding.rule} judges what the probe {finding.evidence.probe} measures. "
            f"It comes from a folder that was named with --rules."
        )
        return cls(
            finding.rule,
            f"rule-{finding.rule}",
            description,
            finding.remediation,
            (),
            finding.severity,
            finding.confidence,
        )


def render(survey: Survey) -> str:
    """``survey`` as a SARIF log that ends with a newline."""
    packaged = load_rules()
    runs = [
        _run(entry, category, packaged, survey)
        for entry, category in zip(survey.entries, _categories(survey), strict=True)
    ]
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": runs}
    return json.dumps(log, indent=2, allow_nan=False) + "\n"


def _categories(survey: Survey) -> Iterator[str]:
    """Automation id of each run; a model that is asked about again gets a number."""
    used: set[str] = set()
    for entry in survey.entries:
        name, number = _shown(entry.model), 1
        while (category := f"{name}:{number}" if number > 1 else name) in used:
            number += 1
        used.add(category)
        yield f"plmscan/{category}/"


def _run(entry: Entry, category: str, packaged: Collection[Rule], survey: Survey) -> _Json:
    """What the survey says about one model."""
    rules = _rules(entry, packaged)
    return {
        "tool": {"driver": _driver(_version(entry, survey), rules)},
        "automationDetails": {"id": category},
        "invocations": [_invocation(entry, survey.verdict)],
        "results": list(_results(entry, [words.id for words in rules])),
        "properties": _properties(entry),
    }


def _rules(entry: Entry, packaged: Iterable[Rule]) -> list[_Words]:
    """The packaged rules that the scan could apply, and whatever else fired, sorted by id."""
    report = entry.outcome
    if not isinstance(report, Report):
        return []
    replaced = str(report.settings.get("rules_overridden")).split(", ")
    ran = {run.id for run in report.probes}
    known = {r.id: _Words.of(r) for r in packaged if r.probe in ran and r.id not in replaced}
    guessed = {f.rule: _Words.guessed(f) for f in report.findings if f.rule not in known}
    return [words for _, words in sorted((known | guessed).items())]


def _version(entry: Entry, survey: Survey) -> str:
    """Version of plmscan that judged the model; a refusal has that of the other models."""
    known = [r.outcome for r in (entry, *survey.entries) if isinstance(r.outcome, Report)]
    versions = known[0].versions if known else {}
    return versions.get("judged-by") or versions.get("plmscan") or plmscan.__version__


def _driver(version: str, rules: Iterable[_Words]) -> _Json:
    """plmscan, and the rules that it knows."""
    semantic = {"semanticVersion": version} if _SEMANTIC.fullmatch(version) else {}
    return {
        "name": "plmscan",
        "version": _shown(version),
        **semantic,
        "rules": [_descriptor(words) for words in rules],
    }


def _descriptor(words: _Words) -> _Json:
    """One rule; GitHub titles an alert with the short description."""
    title = words.name.replace("-", " ").capitalize()
    return {
        "id": _shown(words.id),
        "name": _shown(words.name),
        "shortDescription": {"text": _brief(title)},
        "fullDescription": {"text": _brief(words.description)},
        "help": _help(words),
        "defaultConfiguration": {"level": _LEVELS[words.severity]},
        "properties": {
            "security-severity": _SCORES[words.severity],
            "precision": _PRECISION[words.confidence],
            "tags": _TAGS,
        },
    }


def _brief(text: str) -> str:
    """``text`` as a SARIF message that GitHub does not find too long."""
    message = _message(text)
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST - 1].rstrip(_CUT)}…"


def _help(words: _Words) -> _Json:
    """Why a rule matters and what to do, for people who read an alert."""
    sources = "; ".join(words.references)
    text = [words.description, words.remediation, *([f"References: {sources}."] if sources else [])]
    links = "\n".join(f"- {_linked(reference)}" for reference in words.references)
    markdown = [
        _escaped(words.description),
        f"**What to do:** {_escaped(words.remediation)}",
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
    return _MARKDOWN.sub(r"\\\1", _shown(text))


def _invocation(entry: Entry, verdict: Verdict) -> _Json:
    """How the scan of one model ended, in a process that exits with the verdict on all."""
    finished = entry.verdict is not Verdict.INCONCLUSIVE
    level = "warning" if finished else "error"
    told = {
        "executionSuccessful": finished,
        "exitCode": verdict.value,
        "exitCodeDescription": f"{verdict.name.lower()}: the verdict on all models together",
    }
    notes = [{"level": level, "message": {"text": _message(t)}} for t in _notifications(entry)]
    return {**told, "toolExecutionNotifications": notes} if notes else told


def _notifications(entry: Entry) -> Iterable[str]:
    """Why a model has no verdict, or has one in spite of what was not measured; each once."""
    report = entry.outcome
    if not isinstance(report, Report):
        return (f"{entry.model}: {report.diagnostics}",)
    results = tuple(f"{finding.rule} " for finding in report.findings)
    reasons = () if report.verdict is Verdict.PASS else report.reasons
    failing = report.verdict is Verdict.FAIL
    told = [reason for reason in reasons if not (failing and reason.startswith(results))]
    gaps = [
        f"{run.id}: {gap.subject}: {gap.reason}"
        for run in report.probes
        for gap in run.gaps
        if gap.blocks_pass
    ]
    return dict.fromkeys([*told, *gaps])


def _properties(entry: Entry) -> _Json:
    """The verdict on one model, and which revision it is about."""
    revision = entry.outcome.model.revision if isinstance(entry.outcome, Report) else None
    told = {"verdict": entry.verdict.name.lower(), "model": _shown(entry.model)}
    return {**told, "revision": _shown(revision)} if revision else told


def _results(entry: Entry, ids: list[str]) -> Iterator[_Json]:
    """Every finding, in the report's order."""
    report = entry.outcome
    if not isinstance(report, Report):
        return
    # Section 3.27.23: either all results of a run say whether they are suppressed, or none does.
    suppressible = any(finding.waived for finding in report.findings)
    seen: Counter[str] = Counter()
    for finding in report.findings:
        stable = fingerprint(report.model.id, finding)
        seen[stable] += 1
        result = {
            "ruleId": _shown(finding.rule),
            "ruleIndex": ids.index(finding.rule),
            "level": _LEVELS[finding.severity],
            "message": {"text": _message(f"{finding.message} Model: {_named(report)}.")},
            "locations": [_location(entry, report, finding)],
            "partialFingerprints": {
                "plmscan/v1": stable,
                "primaryLocationLineHash": f"{stable}:{seen[stable]}",
            },
        }
        waivers = [finding.waived] if finding.waived else []
        suppressions = {"suppressions": list(map(_suppression, waivers))} if suppressible else {}
        yield result | suppressions


def _suppression(waived: Waived) -> _Json:
    """Why a finding does not count."""
    until = f", until {waived.expires}" if waived.expires else ""
    reason = f"{waived.reason} ({waived.by} at {waived.place}{until})"
    return {"kind": "external", "status": "accepted", "justification": _shown(reason)}


def _location(entry: Entry, report: Report, finding: Finding) -> _Json:
    """Where to look, in the repository and in the model."""
    subject = finding.evidence.subject
    uri, line = _physical(entry, report, subject)
    return {
        "physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}},
        "logicalLocations": [
            {
                "name": _shown(subject),
                "fullyQualifiedName": f"{_shown(_named(report))}:{_shown(subject)}",
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
    about = subject if any(file.path == subject for file in model.files) else "config.json"
    return _inside(model.id, about) or _last(model.id), 1


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
    shown = _shown(text)
    plain = shown.translate(_LINKS) if "](" in shown else shown
    return plain.translate(_BRACES)


def _shown(text: str) -> str:
    """``text`` made visible, never empty."""
    return visible(text) or "(empty)"
