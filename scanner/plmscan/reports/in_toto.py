"""The report for supply-chain tools: an unsigned in-toto statement about the files' digests.

Checked against the specification in ``in-toto/attestation``: Statement v1 (layer version 1.1),
ResourceDescriptor v1, DigestSet v1.1 and the predicate Test Result v0.1.  The subjects are the
files that were read, by SHA-256, and the commit of each Hub repository.  Sign it with cosign or
with a workflow's attest step.

Names of tests are ``MODEL: verdict`` and ``MODEL: RULE``.  A rule has passed if its probe completed
with all that the rule compares and it did not fire; it warns if it fired without failing the model,
or could not be judged; rules of probes that do not apply are not named.  What is inconclusive or
could not be scanned warns, so that ``PASSED`` always means that every model passed.  A survey of
models of which none could be read has no subject, so that no verifier takes it for a statement
about some file.
"""

from __future__ import annotations

import json
import re
from enum import IntEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from plmscan.evidence import ProbeStatus, Report, Severity, Verdict
from plmscan.reports.view import replaced_rules, scanner_version
from plmscan.reports.visible import shown, visible
from plmscan.rules import load_rules, unknown_metrics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from plmscan.evidence import Finding, ModelIdentity, ProbeRun, Scalar
    from plmscan.rules import Rule
    from plmscan.survey import Entry, Survey

__all__ = ["render"]

_Json = dict[str, Any]

_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class _Result(IntEnum):
    """How a test ended, the worse the higher."""

    PASSED = 0
    WARNED = 1
    FAILED = 2


_RESULTS = {
    Verdict.PASS: _Result.PASSED,
    Verdict.INCONCLUSIVE: _Result.WARNED,
    Verdict.FAIL: _Result.FAILED,
}


def render(survey: Survey) -> str:
    """``survey`` as an in-toto statement that ends with a newline."""
    statement = {
        "_type": _STATEMENT,
        "subject": _subjects(survey),
        "predicateType": _PREDICATE,
        "predicate": _predicate(survey),
    }
    return json.dumps(statement, indent=2, allow_nan=False) + "\n"


def _subjects(survey: Survey) -> list[_Json]:
    """What the statement is about: repositories and files, each once."""
    subjects: list[_Json] = []
    for report in survey.reports:
        for part in report.model.parts:
            told = [*_repository(part), *_files(part)]
            subjects += [subject for subject in told if subject not in subjects]
    return subjects


def _repository(model: ModelIdentity) -> list[_Json]:
    """The commit of a Hub model; nothing for a folder."""
    commit = model.revision
    if commit is None or not _COMMIT.fullmatch(commit):
        return []
    uri = f"pkg:huggingface/{quote(visible(model.id))}@{commit}"
    return [{"name": shown(model.id), "uri": uri, "digest": {"gitCommit": commit}}]


def _files(model: ModelIdentity) -> list[_Json]:
    """Every file of the model that was read."""
    return [
        {"name": f"{shown(model.id)}/{shown(file.path)}", "digest": {"sha256": file.sha256}}
        for file in model.files
    ]


def _predicate(survey: Survey) -> _Json:
    """The results, and how they came about."""
    tests = _tests(survey, load_rules())
    named = {
        f"{result.name.lower()}Tests": [name for name, r in tests.items() if r is result]
        for result in _Result
    }
    return {
        "result": _RESULTS[survey.verdict].name,
        "configuration": [_tool(*survey.reports[:1]), *map(_configuration, survey.reports)],
        **named,
    }


def _tool(*reports: Report) -> _Json:
    """The plmscan that scanned, as the first report tells; this one without a report."""
    version = visible(scanner_version(reports))
    return {"name": "plmscan", "uri": f"pkg:pypi/plmscan@{quote(version)}"}


def _configuration(report: Report) -> _Json:
    """What was asked of the scan of one model, and what did it."""
    signed = {"signature": visible(report.model.signature)} if report.model.signature else {}
    annotations = {
        "settings": _readable(report.settings),
        "versions": _readable(report.versions),
        **signed,
    }
    return {
        **_tool(report),
        "name": f"{shown(report.model.id)}: settings",
        "annotations": annotations,
    }


def _readable(values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Settings or versions in the order of their names."""
    return {
        visible(name): visible(value) if isinstance(value, str) else value
        for name, value in sorted(values.items())
    }


def _tests(survey: Survey, packaged: Collection[Rule]) -> dict[str, _Result]:
    """How every test ended, by name; the worst counts where a model is asked about twice."""
    ended: dict[str, _Result] = {}
    for entry in survey.entries:
        results = {"verdict": _RESULTS[entry.verdict], **dict(_rules(entry, packaged))}
        for test, result in results.items():
            name = f"{shown(entry.model)}: {shown(test)}"
            ended[name] = max(result, ended.get(name, result))
    return ended


def _rules(entry: Entry, packaged: Collection[Rule]) -> Iterator[tuple[str, _Result]]:
    """How the rules of one model ended: those that fired, and what else plmscan ships."""
    report = entry.outcome
    if not isinstance(report, Report):
        return
    fired = {f.rule: _Result.WARNED for f in report.findings}
    fired |= {f.rule: _Result.FAILED for f in report.findings if _fails(f, report)}
    runs = {run.id: run for run in report.probes}
    silent = {
        rule.id: _silent(rule, runs[rule.probe])
        for rule in packaged
        if rule.id not in replaced_rules(report) and _applies(runs.get(rule.probe))
    }
    yield from sorted((silent | fired).items())


def _fails(finding: Finding, report: Report) -> bool:
    """Whether the finding fails the model."""
    bars = {severity.name.lower(): severity for severity in Severity}
    bar = report.settings.get("fail_on")
    severe = bar != "none" and finding.severity >= bars.get(str(bar), Severity.HIGH)
    return severe and finding.waived is None


def _applies(run: ProbeRun | None) -> bool:
    """Whether a probe ran that has something to say about the model."""
    return run is not None and run.status is not ProbeStatus.SKIPPED


def _silent(rule: Rule, run: ProbeRun) -> _Result:
    """What it means that the rule did not fire on what the probe measured."""
    complete = run.status is ProbeStatus.COMPLETED and not any(g.blocks_pass for g in run.gaps)
    judged = complete and not unknown_metrics(rule, run.metrics)
    return _Result.PASSED if judged else _Result.WARNED
