"""From evidence to a verdict.

`decide` is pure: no clock, no file, no randomness.  It fails when a finding is severe enough;
otherwise it is inconclusive when anything that a pass needs was not measured; only then it
passes.  A fail wins over gaps, so more evidence never makes a fail milder, and the order of probes
and rules changes nothing.  Findings that somebody waived are told and do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from plmscan.evidence import CONTROL, ProbeStatus, Severity, Verdict
from plmscan.margin import LIMIT, nearest
from plmscan.rules import unknown_metrics
from plmscan.waivers import NO_WAIVERS, set_aside

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from plmscan.evidence import Evidence, Finding, Margin, ProbeRun
    from plmscan.rules import Rule
    from plmscan.waivers import Waivers

__all__ = ["Decision", "decide"]

_NAMED = 8
"""Subjects that one reason names."""
_COMPLETE = "All checks that apply are complete"
"""True beside a probe that was skipped: it found nothing to look at, or was not asked for."""
_CAUSES = (
    ProbeStatus.FAILED,
    ProbeStatus.TIMED_OUT,
    ProbeStatus.INCOMPLETE,
    ProbeStatus.COMPLETED,
    ProbeStatus.SKIPPED,
)
"""What is told first: a step is often skipped because another one failed."""


@dataclass(frozen=True)
class Decision:
    """A verdict and what it rests on."""

    verdict: Verdict
    """Pass, fail or inconclusive."""
    reasons: tuple[str, ...]
    """Why, most important first."""
    findings: tuple[Finding, ...]
    """Rules that fired, most severe first; also those too mild to fail."""
    nearest: Margin | None
    """What comes nearest to failing the model, or most clearly fails it; None if nothing does."""


def decide(
    runs: Sequence[ProbeRun],
    rules: Collection[Rule],
    *,
    fail_on: Severity | None,
    required: Collection[str],
    waivers: Waivers = NO_WAIVERS,
) -> Decision:
    """Judge what the probes measured.

    Args:
        runs: what became of each probe; a control is about another model and counts for nothing.
        rules: the rules to apply; one whose probe did not run blocks a pass.
        fail_on: the mildest severity that fails; None lets no finding fail.
        required: ids of the probes that must have run, of which at least one must have completed
            with something measured.
        waivers: findings that do not count; a waiver that has expired fails.
    """
    runs = [run for run in runs if run.id != CONTROL]
    found = sorted(_findings(runs, rules), key=_rank)
    findings = tuple(replace(f, waived=waivers.waived(f)) for f in found)
    severe = [f for f in findings if fail_on is not None and f.severity >= fail_on]
    failing = (*_summaries((f for f in severe if f.waived is None), waivers), *waivers.expired())
    gaps = tuple(dict.fromkeys(_gaps(runs, rules, required)))
    margin = _margin(runs, rules, fail_on, [f for f in severe if f.waived is not None])
    if failing:
        return Decision(Verdict.FAIL, (*failing, *gaps), findings, margin)
    if gaps:
        return Decision(Verdict.INCONCLUSIVE, gaps, findings, margin)
    return Decision(Verdict.PASS, (_nothing_found(findings, fail_on),), findings, margin)


def _margin(
    runs: Iterable[ProbeRun],
    rules: Iterable[Rule],
    fail_on: Severity | None,
    waived: Sequence[Finding],
) -> Margin | None:
    """What comes nearest to a rule that fails the model; None if nothing does."""
    failing = [rule for rule in rules if fail_on is not None and rule.severity >= fail_on]
    left_out = {id(finding.evidence) for finding in waived}
    counted = [e for run in runs for e in run.evidence if id(e) not in left_out]
    found = nearest(failing, counted)
    return found if found.score > -LIMIT else None


def _findings(runs: Iterable[ProbeRun], rules: Collection[Rule]) -> Iterator[Finding]:
    """Every rule on every piece of evidence of its probe."""
    for run in runs:
        for evidence in run.evidence:
            yield from (rule.finding(evidence) for rule in rules if rule.fires(evidence))


def _rank(finding: Finding) -> tuple[object, ...]:
    """Sort key: severe, certain and strong findings first; the rest makes the order total."""
    evidence, trigger = finding.evidence, finding.evidence.trigger
    return (
        -finding.severity,
        -finding.confidence,
        finding.rule,
        -_strength(evidence),
        evidence.subject,
        finding.message,
        repr((sorted(evidence.metrics.items()), sorted(evidence.details.items()), trigger)),
    )


def _strength(evidence: Evidence) -> float:
    """How far out a trigger is, or a candidate by what explains it; 0 for all else."""
    if evidence.trigger is not None:
        return evidence.trigger.z
    explained = [z for name, z in evidence.metrics.items() if name.endswith("_z")]
    return max(explained, default=0.0) if evidence.explains else 0.0


def _summaries(findings: Iterable[Finding], waivers: Waivers) -> Iterator[str]:
    """For each rule its strongest finding, a waiver that is over, and the subjects of the others.

    One line of a log shows the first of these and no more, so a waiver that is over stands there.
    """
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    for rule, (strongest, *others) in by_rule.items():
        head = f"{rule} {strongest.severity.name.lower()}: {strongest.message}"
        lapsed = filter(None, map(waivers.lapsed, (strongest, *others)))
        over = (f"The waiver at {w.place} expired on {w.expires}." for w in islice(lapsed, 1))
        yield " ".join(filter(None, (head, *over, _likewise(others))))


def _likewise(others: Sequence[Finding]) -> str:
    """The subjects of ``others``; empty without any."""
    subjects = list(dict.fromkeys(repr(finding.evidence.subject) for finding in others))
    more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
    return f"Likewise {', '.join(subjects[:_NAMED])}{more}." if subjects else ""


def _gaps(
    runs: Sequence[ProbeRun], rules: Collection[Rule], required: Collection[str]
) -> Iterator[str]:
    """Everything that stands between the model and a pass, causes before consequences."""
    told = sorted((_CAUSES.index(run.status), s) for run in runs for s in _gaps_of(run))
    yield from (sentence for _, sentence in told)
    ran = {run.id for run in runs}
    missing = sorted(set(required) - ran)
    if missing:
        yield f"Not run: {', '.join(missing)}."
    elif not any(_measured_something(run) for run in runs if run.id in required):
        yield "No required probe measured anything."
    idle = sorted(rules, key=lambda rule: rule.id)
    yield from _idle_rules(runs, [rule for rule in idle if rule.probe not in missing])
    yield from _open_rules(runs, idle)


def _gaps_of(run: ProbeRun) -> Iterator[str]:
    """Why ``run`` blocks a pass; nothing if it does not."""
    gaps = [gap for gap in run.gaps if gap.blocks_pass]
    yield from (f"{run.id}: {gap.subject}: {gap.reason}" for gap in gaps)
    if run.status.blocks_pass and not (gaps and run.status is ProbeStatus.INCOMPLETE):
        yield f"{run.id} {run.status}: {run.reason or 'no reason was given.'}"


def _measured_something(run: ProbeRun) -> bool:
    """Whether ``run`` says what it looked at."""
    return run.status is not ProbeStatus.SKIPPED and bool(run.evidence or run.coverage)


def _idle_rules(runs: Sequence[ProbeRun], rules: Iterable[Rule]) -> Iterator[str]:
    """Rules that could not speak: their probe is not among the runs, or measures less."""
    declared = {run.id: run.metrics for run in runs}
    for rule in rules:
        if rule.probe not in declared:
            yield f"Rule {rule.id} could not be applied: the probe {rule.probe} did not run."
        elif declared[rule.probe]:
            for metric in unknown_metrics(rule, declared[rule.probe]):
                yield (
                    f"Rule {rule.id} could not be applied: "
                    f"the probe {rule.probe} did not measure {metric}."
                )


def _open_rules(runs: Sequence[ProbeRun], rules: Iterable[Rule]) -> Iterator[str]:
    """Rules that could fire on what the check, with other rules, measured no further."""
    everything = [evidence for run in runs for evidence in run.evidence if evidence.unmeasured]
    for rule in rules:
        for evidence in everything:
            if lacking := rule.lacks(evidence):
                yield (
                    f"Rule {rule.id} could not be applied to {evidence.subject!r}: the rules of "
                    f"the check did not need {', '.join(lacking)}. Check the model with this rule."
                )
                break


def _nothing_found(findings: Sequence[Finding], fail_on: Severity | None) -> str:
    """The reason of a pass."""
    if fail_on is None:
        return f"{_COMPLETE}; --fail-on none lets no finding fail."
    bar = "critical" if fail_on is Severity.CRITICAL else f"{fail_on.name.lower()} or above"
    waived = set_aside(findings)
    milder = sum(finding.waived is None for finding in findings)
    besides = [*([f"{milder} milder below"] if milder else []), *waived]
    if waived:
        return f"{_COMPLETE}, and no finding that counts is {bar}; {', '.join(besides)}."
    return "; ".join([f"{_COMPLETE}, and no finding is {bar}", *besides]) + "."
