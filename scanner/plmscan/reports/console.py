"""The report for a person at a terminal."""

from __future__ import annotations

import io
import math
from itertools import chain, groupby, repeat
from operator import itemgetter
from textwrap import indent
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from plmscan.evidence import DIGITS, ProbeStatus, Severity, Verdict
from plmscan.reports.visible import visible
from plmscan.reports.wording import MEANINGS, command, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from plmscan.evidence import Evidence, Finding, Margin, ProbeRun, Report, Trigger

__all__ = ["render"]

_COLOUR_OF_VERDICT = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.INCONCLUSIVE: "yellow",
}
_COLOUR_OF_SEVERITY = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
}
_MOST = 12
"""Rows of one kind that a person reads; the JSON report has them all."""
_MOST_SIGNED = 40
"""The same for what a reviewer puts a name to: what was searched, and what was not."""
_TEXTS = "text-inspection"
"""The probe whose evidence is about given texts."""


def render(report: Report, *, width: int = 80, colour: bool = False) -> str:
    """``report`` as text for a terminal of ``width`` columns."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    for part in _parts(report, width):
        console.print(part, soft_wrap=isinstance(part, str))
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _parts(report: Report, width: int) -> Iterator[RenderableType]:
    """The report from top to bottom."""
    yield _banner(report)
    if report.verdict is Verdict.INCONCLUSIVE and len(report.reasons) > 1:
        yield _section("Why", _bullets(map(visible, report.reasons), _MOST_SIGNED))
    yield _section("Model", [_model(report)])
    if report.triggers:
        yield _section("Triggers", _triggers(report.triggers))
    texts = [e for run in report.probes for e in run.evidence if run.id == _TEXTS]
    if texts:
        yield _section("Texts", _texts(texts))
    if report.findings:
        yield _section("Findings", _findings(report.findings))
    if report.nearest:
        yield _section("Margin", [Text(visible(_margin(report.nearest)))])
    yield _section("Searched", _by_probe(_searched(report.probes)))
    yield _section("Not checked", _by_probe(_unchecked(report.probes)))
    yield _section("Cost", [_cost(report.probes)])
    yield _section("Again", [])
    yield indent(command(report, width - 2), "  ")
    yield Text()
    yield Text(MEANINGS[report.verdict], style="italic")


def _banner(report: Report) -> RenderableType:
    """The verdict and its first reason, and how many more of them the report tells below."""
    reason = report.reasons[0] if report.reasons else "no reason was recorded."
    rules = tuple(f"{finding.rule} " for finding in report.findings)
    findings_only = report.verdict is Verdict.FAIL
    told = [r for r in report.reasons if r.startswith(rules) or not findings_only]
    more = len(told) - 1
    colour = _COLOUR_OF_VERDICT[report.verdict]
    body = Text.assemble((report.verdict.name, f"bold {colour}"), "  ", visible(reason))
    if more > 0:
        body.append(f"  (+{more} more)", style="dim")
    return Panel(body, box=box.HEAVY, border_style=colour, padding=(0, 1))


def _section(title: str, parts: Iterable[RenderableType]) -> RenderableType:
    """A heading and what belongs to it."""
    heading = Line(Text(title, style="bold"), align="left", style="dim")
    return Group(Text(), heading, *(Padding(part, (0, 0, 0, 2)) for part in parts))


def _model(report: Report) -> RenderableType:
    """Which model this is about."""
    model = report.model
    size = sum(file.size for file in model.files)
    parameters = "unknown" if model.parameters is None else f"{model.parameters:,}"
    return _pairs(
        ("id", model.id),
        ("revision", model.revision or "none (a folder)"),
        ("architecture", model.architecture or "unknown"),
        ("parameters", parameters),
        ("files", f"{len(model.files)} with sha256 digests, {_bytes(size)}"),
    )


def _pairs(*pairs: tuple[str, str]) -> Table:
    """Names and values in two columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, Text(visible(value)))
    return table


def _triggers(triggers: tuple[Trigger, ...]) -> Iterator[RenderableType]:
    """The triggers as a table, and the legend of its columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    table.add_column("trigger", overflow="fold", style="bold", min_width=8)
    table.add_column("at")
    for name in ("D", "S", "z", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("notes", overflow="fold")
    for trigger in triggers[:_MOST]:
        table.add_row(*map(Text, _trigger_row(trigger)))
    yield table
    yield from _more(len(triggers))
    yield Text(_legend(triggers), style="dim")


def _legend(triggers: tuple[Trigger, ...]) -> str:
    """What the columns of the table hold."""
    sizes = sorted({trigger.null_size for trigger in triggers})
    null = " or ".join(f"{size:,}" for size in sizes)
    also = "; also: weaker inputs that lead to the same output"
    return (
        "D how far it drags the output, in variances of clean text; S how much the text around it "
        f"still matters; z and rank p against {null} of the model's own tokens"
        f"{also if any(trigger.variants for trigger in triggers) else ''}."
    )


def _trigger_row(trigger: Trigger) -> tuple[str, ...]:
    """One trigger, cell by cell."""
    notes = [] if trigger.retokenizes else ["typing it gives other ids"]
    notes += [f"drives to {trigger.target_label}"] if trigger.target_label else []
    notes += [f"heads {', '.join(trigger.heads)}"] if trigger.heads else []
    notes += [f"also {_some(trigger.variants)}"] if trigger.variants else []
    return (
        f"“{visible(trigger.text)}”",
        visible(trigger.location),
        short(trigger.displacement),
        short(trigger.scatter),
        short(trigger.z),
        short(trigger.p_value),
        visible("; ".join(notes)),
    )


def _texts(inspected: Sequence[Evidence]) -> Iterator[RenderableType]:
    """Inspected texts as a table, those with the strongest suspects first."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False, expand=True)
    table.add_column("text, «what it hangs on»", overflow="fold", ratio=5)
    table.add_column("label, without", overflow="fold", ratio=2)
    for name in ("strength", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    order = sorted(inspected, key=lambda e: (e.metrics["force_p"], -_force(e)))
    for evidence in order[:_MOST]:
        table.add_row(*map(Text, _text_row(evidence)))
    yield table
    yield from _more(len(order))
    yield Text(
        "«»: the tokens without which the text reads otherwise; strength: what they do to "
        "texts of another label, where 1 is a text of the label and 0 undecided (without labels: "
        "the scatter that they leave in other texts); p among clean texts.",
        style="dim",
    )


def _force(evidence: Evidence) -> float:
    """What a text's suspect does elsewhere: strength, or without labels how little scatter."""
    metrics = evidence.metrics
    return metrics.get("strength", -metrics.get("scatter", math.inf))


def _text_row(evidence: Evidence) -> tuple[str, ...]:
    """One text, cell by cell."""
    details, metrics = evidence.details, evidence.metrics
    label, without = str(details.get("label", "")), str(details.get("without", ""))
    value = metrics.get("strength", metrics.get("scatter"))
    return (
        visible(str(details.get("marked", evidence.subject))),
        visible(label if label == without else f"{label} → {without}"),
        "" if value is None else short(value),
        short(metrics["force_p"]),
    )


def _some(words: tuple[str, ...], most: int = 3) -> str:
    """The first of ``words``, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _findings(findings: tuple[Finding, ...]) -> Iterator[RenderableType]:
    """Findings by severity and rule, each rule with its remedy."""
    for (severity, rule), group in groupby(findings, key=lambda f: (f.severity, f.rule)):
        same = list(group)
        head = Text.assemble(
            (severity.name.lower(), _COLOUR_OF_SEVERITY[severity]),
            f"  {rule}  ",
            (f"{same[0].confidence.name.lower()} confidence", "dim"),
        )
        yield head
        yield from _bullets(map(visible, _messages(same)))
        yield _bullet("→", visible(same[0].remediation))
    first = findings[0].rule
    yield Text(f"More on a rule: plmscan rules explain {first}", style="dim")


def _messages(same: list[Finding]) -> Iterator[str]:
    """What to say about findings of one rule; of those about candidates, the first."""
    first, *rest = same
    yield first.message
    named = [f for f in rest if f.evidence.trigger is not None]
    explained = [f.evidence.subject for f in rest if f.evidence.explains]
    yield from (f.message for f in rest if f.evidence.trigger is None and not f.evidence.explains)
    if named:
        yield f"The same holds for {len(named)} more of the triggers above."
    if explained:
        yield f"Likewise {_some(tuple(map(repr, explained)), _MOST)}."


def _margin(margin: Margin) -> str:
    """What comes nearest to failing the model, or fails it most clearly, and by how much."""
    subject = f"“{margin.subject}” ({margin.rule})"
    measured = f"{margin.metric} {_beside_bar(margin)}"
    if margin.score >= 0:
        head = f"Clearest finding, by its weakest condition: {subject}"
        return f"{head}: {measured}, and {margin.bound} fails it."
    more = margin.unmet - 1
    conditions = "condition" if more == 1 else "conditions"
    others = f" if {more} more {conditions} of the rule held" if more > 0 else ""
    return f"Nearest to failing: {subject}: {measured}, and {margin.bound} would fail it{others}."


def _beside_bar(margin: Margin) -> str:
    """The value, and how many times its bar it is where that has a meaning."""
    value, factor = margin.value, margin.factor
    if factor is None:
        return _plain(value)
    if factor == 1:
        return f"{_plain(value)} is at the bar"
    digits = DIGITS if _plain(factor) == "1" else 3  # so that a near miss does not read as a hit
    return f"{_plain(value, digits)} is {_plain(factor, digits)} times the bar"


def _searched(runs: Iterable[ProbeRun]) -> Iterator[tuple[str, str]]:
    """Probe by probe, what it says it covered."""
    for run in runs:
        yield from ((run.id, coverage.statement) for coverage in run.coverage)


def _unchecked(runs: Iterable[ProbeRun]) -> Iterator[tuple[str, str]]:
    """Probe by probe, how it ended if it did not complete, and what was left out, with reasons."""
    for run in runs:
        gaps = dict.fromkeys((gap.subject, gap.reason) for gap in run.gaps)
        told = [f"{subject}: {reason}" for subject, reason in gaps]
        if run.status.blocks_pass and run.status is not ProbeStatus.INCOMPLETE:
            told.insert(0, f"{run.status}: {run.reason}")
        yield from ((run.id, line) for line in told)


def _by_probe(told: Iterable[tuple[str, str]]) -> Iterator[RenderableType]:
    """Lines with their probe's id in front of the first, cut where nobody reads on."""
    every = list(told)
    if not every:
        yield Text("nothing that a probe knows of")
        return
    rows: list[tuple[str, str]] = []
    for probe, group in groupby(every[:_MOST_SIGNED], key=itemgetter(0)):
        names = chain([probe], repeat(""))
        rows += zip(names, (line for _, line in group), strict=False)
    yield _pairs(*rows)
    yield from _more(len(every), _MOST_SIGNED)


def _bullets(lines: Iterable[str], most: int = _MOST) -> Iterator[RenderableType]:
    """``lines`` as a list, cut where nobody reads on."""
    every = list(lines)
    yield from (_bullet("·", line) for line in every[:most])
    yield from _more(len(every), most)


def _bullet(mark: str, line: str) -> RenderableType:
    """One line of a list, wrapped under itself."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(mark, Text(line))
    return grid


def _more(count: int, most: int = _MOST) -> Iterator[RenderableType]:
    """A line that owns up to what is not shown."""
    if count > most:
        yield Text(f"and {count - most:,} more in the JSON report", style="dim")


def _cost(runs: Iterable[ProbeRun]) -> RenderableType:
    """Time and tokens, in total and of the dearest probes."""
    every = sorted(runs, key=lambda run: (-run.seconds, run.id))
    seconds, tokens = sum(r.seconds for r in every), sum(r.forward_tokens for r in every)
    parts = ", ".join(f"{run.id} {run.seconds:.1f} s" for run in every[:3] if run.seconds > 0.1)  # noqa: PLR2004
    total = f"{seconds:.1f} s, {tokens:,} tokens through the model"
    return Text(f"{total} ({parts})" if parts else total)


def _plain(value: float, digits: int = 3) -> str:
    """As `_short`, without the zeros at the end that a table wants, or with more digits."""
    return short(value) if digits == 3 and value >= 100 else f"{value:.{digits}g}"  # noqa: PLR2004


def _bytes(size: float) -> str:
    """A size in the unit that a person would use."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
