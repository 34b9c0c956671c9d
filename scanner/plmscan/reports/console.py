"""The report for a person at a terminal."""

from __future__ import annotations

import io
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

from plmscan.evidence import Report, Severity, Verdict
from plmscan.reports.screen import PLAIN_SCREEN, Detail, Screen
from plmscan.reports.visible import visible
from plmscan.reports.wording import (
    MEANINGS,
    Alike,
    besides,
    command,
    inspected,
    left_out,
    legend,
    margin,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from plmscan.evidence import Evidence, Finding, ProbeRun, Trigger
    from plmscan.survey import Entry, Survey

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


class _Page(io.StringIO):
    """What rich writes to; the encoding decides whether it draws frames with plain characters."""

    def __init__(self, encoding: str) -> None:
        """Start empty."""
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override] # rich asks for a name
        """That of the screen."""
        return self._encoding


def render(survey: Survey, screen: Screen = PLAIN_SCREEN) -> str:
    """``survey`` as text for a ``screen``."""
    page = _Page(screen.encoding)
    console = Console(
        file=page,
        width=screen.width,
        force_terminal=screen.colour,
        color_system="standard" if screen.colour else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    for part in _told(survey, screen):
        long = isinstance(part, str) or screen.detail is Detail.BRIEF
        console.print(part, soft_wrap=long)
    return screen.legible("".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines()))


def _told(survey: Survey, screen: Screen) -> Iterator[RenderableType]:
    """One report, or those that somebody has to read and a table of all."""
    if screen.detail is Detail.BRIEF:
        yield from (_line(entry) for entry in survey.entries)
        return
    if survey.only is not None:
        yield from _parts(survey.only, screen.width)
        return
    for report in survey.reports:
        if screen.detail is Detail.FULL or report.verdict is not Verdict.PASS:
            yield from _parts(report, screen.width)
            yield Text()
    yield _summary(survey.entries)
    colour = _COLOUR_OF_VERDICT[survey.verdict]
    yield Text.assemble((survey.verdict.name, f"bold {colour}"), f"  {survey.in_short}")


def _line(entry: Entry) -> RenderableType:
    """One model in one line."""
    verdict = Text(entry.verdict.name, style=f"bold {_COLOUR_OF_VERDICT[entry.verdict]}")
    return Text.assemble(verdict, f"  {visible(entry.model)}  ", visible(entry.reason))


def _summary(entries: Sequence[Entry]) -> RenderableType:
    """Every model with its verdict and why."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    table.add_column("verdict", no_wrap=True)
    table.add_column("model", overflow="fold", max_width=34)
    table.add_column("findings", justify="right")
    table.add_column("reason", overflow="fold")
    for entry in entries:
        verdict = Text(entry.verdict.name, style=f"bold {_COLOUR_OF_VERDICT[entry.verdict]}")
        found = str(len(entry.outcome.findings)) if isinstance(entry.outcome, Report) else "-"
        table.add_row(verdict, Text(visible(entry.model)), found, Text(visible(entry.reason)))
    return table


def _parts(report: Report, width: int) -> Iterator[RenderableType]:
    """The report from top to bottom."""
    yield _banner(report)
    if others := _other_reasons(report):
        yield _section("Why", _bullets(map(visible, others), _MOST_SIGNED))
    yield _section("Model", [_model(report)])
    if report.triggers:
        yield _section("Triggers", _triggers(report.triggers))
    if texts := inspected(report):
        yield _section("Texts", _texts(texts))
    counted = tuple(f for f in report.findings if f.waived is None)
    if counted:
        yield _section("Findings", _findings(counted))
    waived = [f for f in report.findings if f.waived is not None]
    if waived:
        yield _section("Waived", _bullets(map(_waived, waived)))
    if report.nearest:
        yield _section("Margin", [Text(visible(margin(report.nearest)))])
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
    more = len(report.reasons) - 1
    colour = _COLOUR_OF_VERDICT[report.verdict]
    body = Text.assemble((report.verdict.name, f"bold {colour}"), "  ", visible(reason))
    if more > 0:
        body.append(f"  (+{more} more)", style="dim")
    return Panel(body, box=box.HEAVY, border_style=colour, padding=(0, 1))


def _other_reasons(report: Report) -> list[str]:
    """Reasons that the findings below do not tell; of a lone reason the banner tells enough."""
    rules = tuple(f"{finding.rule} " for finding in report.findings)
    told = len(report.reasons) < 2  # noqa: PLR2004
    return [] if told else [reason for reason in report.reasons if not reason.startswith(rules)]


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
        *([("besides", besides(model))] if model.others else []),
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
    yield Text(legend(triggers), style="dim")


def _trigger_row(trigger: Trigger) -> tuple[str, ...]:
    """One trigger, cell by cell."""
    notes = [] if trigger.retokenizes else ["typing it gives other ids"]
    notes += [f"drives to {trigger.target_label}"] if trigger.target_label else []
    notes += [f"so does {' or '.join(trigger.core)} alone"] if trigger.core else []
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


def _texts(texts: Sequence[Evidence]) -> Iterator[RenderableType]:
    """Inspected texts as a table."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False, expand=True)
    table.add_column("text, «what decides it»", overflow="fold", ratio=5)
    table.add_column("label, without", overflow="fold", ratio=2)
    for name in ("strength", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for evidence in texts[:_MOST]:
        table.add_row(*map(Text, _text_row(evidence)))
    yield table
    yield from _more(len(texts))
    yield Text(
        "«»: the tokens without which the text reads otherwise; strength: what they do to "
        "texts of another label, where 1 is a text of the label and 0 undecided (without labels: "
        "the scatter that they leave in other texts); p among clean texts.",
        style="dim",
    )


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


def _waived(finding: Finding) -> str:
    """A finding that does not count, and who says so."""
    waived = finding.waived
    if waived is None:
        return visible(finding.message)
    until = f" until {waived.expires}" if waived.expires else ""
    who = f"{waived.by} at {waived.place}{until}: {waived.reason}"
    return visible(f"{finding.rule} {finding.severity.name.lower()}: {finding.message} ({who})")


def _messages(same: list[Finding]) -> Iterator[str]:
    """What to say about findings of one rule."""
    alike = Alike.of(same)
    yield from alike.messages
    if alike.named:
        yield f"The same holds for {alike.named} more of the triggers above."
    if alike.explained:
        yield f"Likewise {_some(tuple(map(repr, alike.explained)), _MOST)}."


def _searched(runs: Iterable[ProbeRun]) -> Iterator[tuple[str, str]]:
    """Probe by probe, what it says it covered."""
    for run in runs:
        yield from ((run.id, coverage.statement) for coverage in run.coverage)


def _unchecked(runs: Iterable[ProbeRun]) -> Iterator[tuple[str, str]]:
    """Probe by probe, what was left out, with reasons."""
    for run in runs:
        yield from ((run.id, f"{what}: {why}") for what, why, _ in left_out(run))


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


def _bytes(size: float) -> str:
    """A size in the unit that a person would use."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
