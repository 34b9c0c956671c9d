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
from typing import TYPE_CHECKING, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined

from plmscan.evidence import Verdict
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
from plmscan.reports.view import ModelView, TableView, replaced_rules
from plmscan.reports.visible import visible
from plmscan.reports.wording import MEANINGS, NOTHING, command, more, plural, short
from plmscan.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.evidence import Demonstration, Evidence, HeadEffect, Landscape, Report, Trigger
    from plmscan.reports.view import ReportView
    from plmscan.rules import Rule
    from plmscan.survey import Survey

__all__ = ["render"]

_Value = TypeVar("_Value")

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
    answers: tuple[_Carrier, ...]
    """What a model that writes answers to requests."""
    projection: Plot | None
    """Where it moves features."""
    heads: tuple[HeadEffect, ...]
    """Attention heads that it moves most."""
    head_map: HeadMap | None
    """What it does to every head; None if that was not measured."""
    head_table: TableView
    """The same in numbers."""


@dataclass(frozen=True)
class _Model:
    """One model of the page."""

    number: int
    """From 1; part of every id."""
    level: int
    """Level of its sections' headings."""
    view: ModelView
    """What is told."""
    drawn: _Drawn | None
    """What is shown beside it; None without a report."""


@dataclass(frozen=True)
class _Drawn:
    """What a page shows of a report beside words."""

    rules: Mapping[str, Rule]
    """The packaged rules that judged it, by id."""
    portraits: tuple[_Portrait, ...]
    """Triggers, or without any the best candidates."""
    landscapes: tuple[tuple[Plot, Plot, TableView, str], ...]
    """The vocabulary alone, candidates in sentences, the numbers of those that have a name, and
    what those are that are no triggers."""
    labelled: bool
    """Whether the model gives labels."""
    command: str
    """What gives the report again, in visible lines."""
    details: tuple[tuple[str, tuple[tuple[str, TableView], ...]], ...]
    """What is folded away, and the tables with their names that it holds."""

    @classmethod
    def of(cls, view: ReportView, rules: Sequence[Rule]) -> _Drawn:
        """All that is computed of a report for the page."""
        report, replaced = view.report, replaced_rules(view.report)
        return cls(
            rules={rule.id: rule for rule in rules if rule.id not in replaced},
            portraits=tuple(_portraits(report)),
            landscapes=tuple(_landscapes(report)),
            labelled=any(e.metrics.get("labels", 0) > 0 for r in report.probes for e in r.evidence),
            command=command(report, _WIDTH),
            details=tuple(_details(report)),
        )


def render(survey: Survey) -> str:
    """``survey`` as a document; whatever comes from a model is made visible and escaped."""
    environment = Environment(
        loader=PackageLoader("plmscan.reports", "page"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"short": short, "marked": _parts, "plural": plural, "more": more}
    style = environment.get_template("style.css").render()
    several = len(survey.entries) > 1
    rules = load_rules()
    views = map(ModelView.of, survey.entries)
    return environment.get_template("page.html.jinja").render(
        survey=survey,
        models=[_model(n, view, rules, several=several) for n, view in enumerate(views, 1)],
        several=several,
        style_hash=b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        moods=_MOODS,
        signs=_SIGNS,
        meanings=MEANINGS,
        nothing=NOTHING.capitalize(),
        most_texts=_MOST_TEXTS,
        most_portraits=_PORTRAITS_OF_MANY if several else _PORTRAITS,
    )


def _visible(value: object) -> object:
    """A text with nothing hidden in it; what is markup already stays as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return visible(value)
    return value


def _model(number: int, view: ModelView, rules: Sequence[Rule], *, several: bool) -> _Model:
    """What the page tells about a model."""
    drawn = None if view.report is None else _Drawn.of(view.report, rules)
    return _Model(number, 3 if several else 2, view, drawn)


def _parts(text: str) -> tuple[str, ...]:
    """``text`` cut at its marks: every second part stood between « and »."""
    return tuple(_MARKED.split(text))


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
    name = about[0].subject
    every = [d for evidence in about for d in evidence.demonstrations]
    shown = [d for d in every if d.triggered_answer is None]
    projections = [e.projection for e in about if e.projection is not None]
    heads = next((e for e in about if e.heatmap), None)
    return _Portrait(
        ids=about[0].explains,
        name=name,
        carriers=tuple(_Carrier(_parts(d.text), d, strip(d)) for d in shown[:_MOST_CARRIERS]),
        relabelled=sum(d.label != d.triggered_label for d in shown[:_MOST_CARRIERS]),
        answers=tuple(
            _Carrier(_parts(d.text), d, strip(d))
            for d in [d for d in every if d.triggered_answer is not None][:_MOST_CARRIERS]
        ),
        projection=projection_plot(name, projections[0]) if projections else None,
        heads=heads.heads if heads else (),
        head_map=head_map(heads) if heads else None,
        head_table=_head_table(name, heads.heatmap if heads else ()),
    )


def _head_table(name: str, heatmap: Sequence[Sequence[float]]) -> TableView:
    """What a candidate does to every attention head, in numbers."""
    columns = [f"head {number}" for number in range(len(heatmap[0]) if heatmap else 0)]
    rows = tuple((str(n), *(f"{z:.1f}" for z in row)) for n, row in enumerate(heatmap))
    legend = f"Robust z of the attention that “{name}” gets, against control strings."
    return TableView(("layer", *columns), rows, legend, frozenset(columns))


def _landscapes(report: Report) -> Iterator[tuple[Plot, Plot, TableView, str]]:
    """The search from afar."""
    triggers = report.triggers
    known = {(t.text, t.token_ids) for t in triggers}
    for run in report.probes:
        found = [e.trigger for e in run.evidence if e.trigger]
        measured = [t for t in found if (t.text, t.token_ids) not in known]
        best = sorted(measured, key=lambda t: (t.scatter, t.token_ids))[:_BEST]
        for landscape in filter(is_drawable, run.landscapes):
            named = _named(landscape, triggers, best)
            varied = any(kind == "variant" for _, kind, *_ in named.rows)
            others = "other candidates" if triggers else "candidates"
            yield (
                vocabulary_plot(landscape, triggers),
                screening_plot(landscape, triggers, best),
                named,
                f"{others}, weaker variants of the triggers among them" if varied else others,
            )


def _named(landscape: Landscape, triggers: Sequence[Trigger], best: Sequence[Trigger]) -> TableView:
    """Triggers, the best candidates, and all others that a plot names."""
    planted = {trigger.text for trigger in triggers}
    variants = {variant for trigger in triggers for variant in trigger.variants}
    alone = {text: (short(x), short(y)) for text, x, y in landscape.named}
    measured = {t.text: (short(t.displacement), short(t.scatter)) for t in (*best, *triggers)}
    names = dict.fromkeys([*(t.text for t in (*triggers, *best)), *alone])
    rows = tuple(
        (
            f"“{name}”",
            "trigger" if name in planted else "variant" if name in variants else "candidate",
            *alone.get(name, ("", "")),
            *measured.get(name, ("", "")),
        )
        for name in names
    )
    legend = (
        "Squared distances of single items by themselves; displacement D and scatter S in "
        "sentences."
    )
    numbers = ("distance", "Mahalanobis", "D", "S")
    return TableView(("candidate", "kind", *numbers), rows, legend, frozenset(numbers))


def _details(report: Report) -> Iterator[tuple[str, tuple[tuple[str, TableView], ...]]]:
    """What is folded away: files, and how the report came about."""
    model, numbers = report.model, frozenset({"bytes", "seconds", "tokens"})
    if model.files:
        rows = tuple((f.path, f.kind, f"{f.size:,}", f.sha256) for f in model.files)
        columns = ("file", "kind", "bytes", "sha256")
        table = TableView(columns, rows, "Every file that was read.", numbers)
        yield f"sha256 digests of {plural(len(rows), 'file')}", (("file digests", table),)
    if model.others:
        unread = tuple((f.path, f.kind, f"{f.size:,}") for f in model.others)
        legend = "Every other file that is there; no loader is known to open it."
        table = TableView(("file", "kind", "bytes"), unread, legend, numbers)
        yield f"{plural(len(unread), 'file')} that nobody read", (("other files", table),)
    settings = tuple((n, "not set" if v is None else str(v)) for n, v in _ordered(report.settings))
    costs = tuple(
        (run.id, str(run.status), f"{run.seconds:.1f}", f"{run.forward_tokens:,}")
        for run in report.probes
    )
    legend = "What each probe cost: seconds, and tokens through the model."
    tables = (
        ("settings", TableView(("setting", "value"), settings, "Settings")),
        ("versions", TableView(("what", "version"), _ordered(report.versions), "Versions")),
        ("cost", TableView(("probe", "status", "seconds", "tokens"), costs, legend, numbers)),
    )
    yield "Settings, versions and cost", tables


def _ordered(values: Mapping[str, _Value]) -> tuple[tuple[str, _Value], ...]:
    """Names and values in the order of the names, whatever their case."""
    return tuple(sorted(values.items(), key=lambda item: item[0].lower()))
