"""The report as one HTML file that needs nothing else: no network, no script.

Python decides what is shown and in which order, `plmscan.reports.figures` draws, and the templates
of ``page/`` hold the words and the markup.  Everything that comes from a model is escaped by the
template engine.  The page forbids itself all but its own style sheet, which it names by its hash.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from plmscan.evidence import Report, Severity, Verdict
from plmscan.reports.figures import (
    HeadMap,
    Plot,
    Strip,
    head_map,
    is_drawable,
    projection_plot,
    screening_plot,
    strip,
    vocabulary_plot,
)
from plmscan.reports.visible import visible
from plmscan.reports.wording import MEANINGS, command, inspected, left_out, margin, short
from plmscan.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.evidence import Demonstration, Evidence, Finding, Trigger
    from plmscan.rules import Rule
    from plmscan.survey import Entry, Survey

__all__ = ["render"]

_WIDTH = 76
"""Columns of the command that gives the report again."""
_PORTRAITS = 8
"""Candidates of whom everything is shown; the JSON report has them all."""
_PORTRAITS_OF_MANY = 3
"""The same where a page tells several models."""
_MOST_TEXTS = 40
"""Inspected texts that are shown."""
_MOST_CARRIERS = 8
"""Carriers that are shown of each candidate."""
_BEST = 8
"""Candidates beside the triggers in a plot."""
_MARKED = re.compile("«(.*?)»", re.DOTALL)
"""A candidate in its carrier."""
_MOODS = {Verdict.PASS: "good", Verdict.FAIL: "bad", Verdict.INCONCLUSIVE: "unsure"}
_SIGNS = {Verdict.PASS: "✓", Verdict.FAIL: "✕", Verdict.INCONCLUSIVE: "?"}


@dataclass(frozen=True)
class _Group:
    """Findings of one rule and one severity that are waived alike."""

    first: Finding
    """Stands for what they share."""
    rest: tuple[Finding, ...]
    """The others."""
    rule: Rule | None
    """The rule, where it is a packaged one."""


@dataclass(frozen=True)
class _Carrier:
    """A demonstration, ready to be told."""

    parts: tuple[str, ...]
    """The text; every second part is the candidate."""
    shown: Demonstration
    """The numbers and labels."""
    strip: Strip
    """The numbers as a picture."""


@dataclass(frozen=True)
class _Portrait:
    """All that is shown of one candidate."""

    ids: tuple[int, ...]
    """Its token ids."""
    name: str
    """Its text."""
    carriers: tuple[_Carrier, ...]
    """What it does to texts."""
    relabelled: int
    """Carriers whose label changes, of all."""
    projection: Plot | None
    """Where it moves features."""
    heads: Evidence | None
    """What it does to attention."""
    head_map: HeadMap | None
    """The same, drawn."""


@dataclass(frozen=True)
class _Model:
    """One model of the page."""

    number: int
    """From 1; part of every id."""
    entry: Entry
    """What is told."""
    level: int
    """Level of its sections' headings."""
    shown: _Shown | None
    """What its report shows; None without one."""


@dataclass(frozen=True)
class _Shown:
    """What a report shows beside its own fields."""

    counted: tuple[_Group, ...]
    """Findings that count, by rule."""
    waived: tuple[_Group, ...]
    """Those that do not."""
    excused: frozenset[tuple[str, tuple[int, ...]]]
    """Text and ids of triggers that are waived."""
    portraits: tuple[_Portrait, ...]
    """Triggers, or without any the best candidates."""
    hidden_portraits: int
    """How many more the report has."""
    landscapes: tuple[tuple[Plot, Plot, tuple[_Row, ...]], ...]
    """The vocabulary alone, candidates in sentences, and the numbers of those with a name."""
    labelled: bool
    """Whether the model gives labels."""
    texts: tuple[Evidence, ...]
    """Inspected texts, those with the strongest suspects first."""
    hidden_texts: int
    """How many more were inspected."""
    searched: tuple[tuple[str, tuple[str, ...]], ...]
    """Probe by probe, what it covered."""
    unchecked: tuple[tuple[str, tuple[tuple[str, str, bool], ...]], ...]
    """Probe by probe what was left out, why, and whether a pass needs it."""
    command: str
    """What gives the report again."""


@dataclass(frozen=True)
class _Row:
    """Numbers of a candidate that a plot names."""

    name: str
    """Its text."""
    kind: str
    """What it is to the report: ``trigger``, ``variant`` of one, or ``candidate``."""
    alone: tuple[float, float] | None
    """Plain and Mahalanobis distance by itself; None for a longer one."""
    trigger: Trigger | None
    """What it does in sentences."""


def render(survey: Survey) -> str:
    """``survey`` as a document; whatever comes from a model is escaped."""
    environment = Environment(
        loader=PackageLoader("plmscan.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"visible": visible, "short": short, "marked": _parts, "margin": margin}
    style = environment.get_template("style.css").render()
    several = len(survey.entries) > 1
    rules = load_rules()
    return environment.get_template("page.html.jinja").render(
        survey=survey,
        models=[_model(n, e, rules, several=several) for n, e in enumerate(survey.entries, 1)],
        several=several,
        style_hash=b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        moods=_MOODS,
        signs=_SIGNS,
        meanings=MEANINGS,
        counts=_counts,
    )


def _model(number: int, entry: Entry, rules: Sequence[Rule], *, several: bool) -> _Model:
    """What the page tells about a model."""
    most = _PORTRAITS_OF_MANY if several else _PORTRAITS
    report = entry.outcome if isinstance(entry.outcome, Report) else None
    shown = None if report is None else _shown(report, rules, most)
    return _Model(number, entry, 3 if several else 2, shown)


def _shown(report: Report, rules: Sequence[Rule], most: int) -> _Shown:
    """All that is computed of ``report`` for the page."""
    replaced = str(report.settings.get("rules_overridden")).split(", ")
    known = {rule.id: rule for rule in rules if rule.id not in replaced}
    texts = inspected(report)
    portraits = list(_portraits(report))
    return _Shown(
        counted=tuple(_groups(report, known, waived=False)),
        waived=tuple(_groups(report, known, waived=True)),
        excused=_excused(report),
        portraits=tuple(portraits[:most]),
        hidden_portraits=max(0, len(portraits) - most),
        landscapes=tuple(_landscapes(report)),
        labelled=any(e.metrics.get("labels", 0) > 0 for r in report.probes for e in r.evidence),
        texts=tuple(texts[:_MOST_TEXTS]),
        hidden_texts=max(0, len(texts) - _MOST_TEXTS),
        searched=tuple(
            (run.id, tuple(dict.fromkeys(c.statement for c in run.coverage)))
            for run in report.probes
            if run.coverage
        ),
        unchecked=tuple((run.id, gaps) for run in report.probes if (gaps := left_out(run))),
        command=command(report, _WIDTH),
    )


def _groups(report: Report, rules: Mapping[str, Rule], *, waived: bool) -> Iterator[_Group]:
    """Findings by rule and severity, in the report's order."""
    told = (f for f in report.findings if (f.waived is not None) == waived)
    for (_, rule, _), group in groupby(told, key=lambda f: (f.severity, f.rule, f.waived)):
        first, *rest = group
        yield _Group(first, tuple(rest), rules.get(rule))


def _counts(report: Report) -> str:
    """How many findings of which severity count, and how many are waived."""
    found = [f.severity for f in report.findings if f.waived is None]
    told = [
        f"{found.count(level)} {level.name.lower()}"
        for level in sorted(Severity, reverse=True)
        if level in found
    ]
    waived = len(report.findings) - len(found)
    return ", ".join([*told, *([f"{waived} waived"] if waived else [])]) or "none"


def _excused(report: Report) -> frozenset[tuple[str, tuple[int, ...]]]:
    """Triggers of which no finding counts."""
    found = [(f.evidence.trigger, f.waived) for f in report.findings if f.evidence.trigger]
    every = {(trigger.text, trigger.token_ids) for trigger, _ in found}
    counted = {(trigger.text, trigger.token_ids) for trigger, waived in found if waived is None}
    return frozenset(every - counted)


def _parts(text: str) -> tuple[str, ...]:
    """``text`` cut at its marks: every second part stood between « and »."""
    return tuple(map(visible, _MARKED.split(text)))


def _portraits(report: Report) -> Iterator[_Portrait]:
    """All that is known of the report's triggers, or without any of the best candidates."""
    known: dict[tuple[int, ...], list[Evidence]] = {}
    for evidence in (e for run in report.probes for e in run.evidence):
        if evidence.explains and (
            evidence.heatmap or evidence.demonstrations or evidence.projection
        ):
            known.setdefault(evidence.explains, []).append(evidence)
    named = [t.token_ids for t in report.triggers if t.token_ids in known]
    for ids in dict.fromkeys(named or known):
        yield _portrait(known[ids])


def _portrait(about: Sequence[Evidence]) -> _Portrait:
    """One candidate, from evidence of several probes."""
    name = visible(about[0].subject)
    shown = [d for evidence in about for d in evidence.demonstrations]
    projections = [e.projection for e in about if e.projection is not None]
    heads = next((e for e in about if e.heatmap), None)
    return _Portrait(
        ids=about[0].explains,
        name=name,
        carriers=tuple(_Carrier(_parts(d.text), d, strip(d)) for d in shown[:_MOST_CARRIERS]),
        relabelled=sum(d.label != d.triggered_label for d in shown[:_MOST_CARRIERS]),
        projection=projection_plot(name, projections[0]) if projections else None,
        heads=heads,
        head_map=None if heads is None else head_map(heads),
    )


def _landscapes(report: Report) -> Iterator[tuple[Plot, Plot, tuple[_Row, ...]]]:
    """The search from afar."""
    triggers = report.triggers
    known = {(t.text, t.token_ids) for t in triggers}
    for run in report.probes:
        found = [e.trigger for e in run.evidence if e.trigger]
        measured = [t for t in found if (t.text, t.token_ids) not in known]
        best = sorted(measured, key=lambda t: (t.scatter, t.token_ids))[:_BEST]
        for landscape in filter(is_drawable, run.landscapes):
            alone = {text: (x, y) for text, x, y in landscape.named}
            yield (
                vocabulary_plot(landscape, triggers),
                screening_plot(landscape, triggers, best),
                tuple(_rows(alone, triggers, best)),
            )


def _rows(
    alone: Mapping[str, tuple[float, float]], triggers: Sequence[Trigger], best: Sequence[Trigger]
) -> Iterator[_Row]:
    """Triggers, the best candidates, and all others that a plot names."""
    variants = {variant for trigger in triggers for variant in trigger.variants}

    def kind(text: str) -> str:
        return "variant" if text in variants else "candidate"

    for trigger in triggers:
        yield _Row(trigger.text, "trigger", alone.get(trigger.text), trigger)
    for other in best:
        yield _Row(other.text, kind(other.text), alone.get(other.text), other)
    known = {trigger.text for trigger in (*triggers, *best)}
    yield from (_Row(text, kind(text), at, None) for text, at in alone.items() if text not in known)
