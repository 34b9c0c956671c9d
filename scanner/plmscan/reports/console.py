"""The report for a person at a terminal."""

from __future__ import annotations

import io
from itertools import groupby
from operator import attrgetter
from textwrap import indent
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from plmscan.evidence import Severity, Verdict
from plmscan.reports.screen import PLAIN_SCREEN, Detail, Screen
from plmscan.reports.view import ModelView
from plmscan.reports.visible import visible
from plmscan.reports.wording import (
    MEANINGS,
    MOST,
    MOST_SIGNED,
    NOTHING,
    command,
    more,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from plmscan.evidence import ProbeRun
    from plmscan.reports.view import Alike, ReportView, Statement, TableView
    from plmscan.survey import Survey

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
    models = [ModelView.of(entry) for entry in survey.entries]
    if screen.detail is Detail.BRIEF:
        yield from map(_line, models)
        return
    for model in models:
        read = screen.detail is Detail.FULL or model.entry.verdict is not Verdict.PASS
        if model.report and (read or survey.only):
            yield from _parts(model, model.report, screen.width)
            yield from [] if survey.only else [Text()]
    if survey.only is None:
        yield _summary(models)
        yield Text.assemble(_verdict(survey.verdict), f"  {survey.in_short}")


def _verdict(verdict: Verdict) -> Text:
    """The answer in its colour."""
    return Text(verdict.name, style=f"bold {_COLOUR_OF_VERDICT[verdict]}")


def _line(model: ModelView) -> RenderableType:
    """One model in one line."""
    entry = model.entry
    told = f"  {visible(entry.model)}  {visible(entry.reason)}"
    return Text.assemble(_verdict(entry.verdict), told)


def _summary(models: Iterable[ModelView]) -> RenderableType:
    """Every model with its verdict and why."""
    table = _grid()
    table.add_column("verdict", no_wrap=True)
    table.add_column("model", overflow="fold", max_width=34)
    table.add_column("findings", max_width=12)
    table.add_column("reason", overflow="fold")
    for model in models:
        told = (model.entry.model, model.count, model.entry.reason)
        table.add_row(_verdict(model.entry.verdict), *(Text(visible(cell)) for cell in told))
    return table


def _grid() -> Table:
    """A table without rows and columns."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)


def _parts(model: ModelView, view: ReportView, width: int) -> Iterator[RenderableType]:
    """The report from top to bottom."""
    yield _banner(model)
    if view.replaced:
        yield Text(visible(view.replaced))
    if view.other_reasons:
        yield _section("Why", _bullets(view.other_reasons, MOST_SIGNED))
    yield _section("Model", [_pairs(*model.facts)])
    told = (("Triggers", view.triggers), ("Answers", view.answers), ("Texts", view.texts))
    for title, table in told:
        if table.rows:
            yield _section(title, _rows(table))
    if view.counted:
        hint = f"More on a rule: plmscan rules explain {view.counted[0].first.rule}"
        yield _section("Findings", [*_findings(view.counted), Text(visible(hint), style="dim")])
    if view.waived:
        yield _section("Waived", _findings(view.waived))
    if view.margin:
        yield _section("Margin", [Text(visible(view.margin))])
    yield _section("Searched", _by_probe(view.searched))
    yield _section("Not checked", _by_probe(view.unchecked))
    if view.control:
        yield _section("Control", [Text(visible(told)) for told in view.control])
    yield _section("Cost", [_cost(view.report.probes)])
    yield _section("Reproduce", [])
    yield indent(command(view.report, width - 2), "  ")
    yield Text()
    yield Text(MEANINGS[view.report.verdict], style="italic")


def _banner(model: ModelView) -> RenderableType:
    """The verdict and its first reason, and how many more of them the report tells below."""
    first, *others = model.reasons
    body = Text.assemble(_verdict(model.entry.verdict), "  ", visible(first))
    if others:
        body.append(f"  (+{len(others)} more)", style="dim")
    colour = _COLOUR_OF_VERDICT[model.entry.verdict]
    return Panel(body, box=box.HEAVY, border_style=colour, padding=(0, 1))


def _section(title: str, parts: Iterable[RenderableType]) -> RenderableType:
    """A heading and what belongs to it."""
    heading = Line(Text(title, style="bold"), align="left", style="dim")
    return Group(Text(), heading, *(Padding(part, (0, 0, 0, 2)) for part in parts))


def _pairs(*pairs: tuple[str, str]) -> Table:
    """Names and values in two columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(visible(name), Text(visible(value)))
    return table


def _rows(told: TableView) -> Iterator[RenderableType]:
    """A table, cut where nobody reads on, and the legend of its columns."""
    table = _grid()
    first, *others = told.columns
    table.add_column(first, overflow="fold", style="bold", min_width=8)
    for name in others:
        number = name in told.numbers
        table.add_column(
            name, overflow="fold", justify="right" if number else "left", no_wrap=number
        )
    for row in told.rows[:MOST]:
        table.add_row(*(Text(visible(cell)) for cell in row))
    yield table
    yield from _more(told.rows)
    yield Text(told.legend, style="dim")


def _findings(groups: Sequence[Alike]) -> Iterator[RenderableType]:
    """Findings by severity and rule, each rule with its remedy, or with why it does not count."""
    for group in groups[:MOST]:
        yield Text.assemble(
            (group.severity, _COLOUR_OF_SEVERITY[group.first.severity]),
            f"  {visible(group.first.rule)}  ",
            (group.confidence, "dim"),
        )
        yield from _bullets([*group.messages])
        yield Padding(Text(visible(_subjects(group)), style="dim"), (0, 0, 0, 2))
        yield _bullet("→", group.waiver or group.first.remediation)
    yield from _more(groups)


def _subjects(group: Alike) -> str:
    """What a waiver of these findings has to name."""
    hidden = [more(group.subjects_left_out)] if group.subjects_left_out else []
    return f"subject {' '.join([', '.join(group.subjects), *hidden])}"


def _by_probe(told: Sequence[Statement]) -> Iterator[RenderableType]:
    """Lines with their probe's id in front of the first, cut where nobody reads on."""
    rows: list[tuple[str, str]] = []
    for probe, group in groupby(told[:MOST_SIGNED], key=attrgetter("probe")):
        first, *others = map(str, group)
        rows += [(probe, first), *(("", other) for other in others)]
    yield _pairs(*rows) if rows else Text(NOTHING)
    yield from _more(told, MOST_SIGNED)


def _bullets(lines: Sequence[str], most: int = MOST) -> Iterator[RenderableType]:
    """``lines`` as a list, cut where nobody reads on."""
    yield from (_bullet("·", line) for line in lines[:most])
    yield from _more(lines, most)


def _bullet(mark: str, line: str) -> RenderableType:
    """One line of a list, wrapped under itself."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(mark, Text(visible(line)))
    return grid


def _more(told: Sequence[object], most: int = MOST) -> Iterator[RenderableType]:
    """A line that owns up to what is not shown."""
    if len(told) > most:
        yield Text(more(len(told) - most), style="dim")


def _cost(runs: Iterable[ProbeRun]) -> RenderableType:
    """Time and tokens, in total and of the dearest probes."""
    every = sorted(runs, key=lambda run: (-run.seconds, run.id))
    seconds, tokens = sum(r.seconds for r in every), sum(r.forward_tokens for r in every)
    parts = ", ".join(f"{run.id} {run.seconds:.1f} s" for run in every[:3] if run.seconds > 0.1)  # noqa: PLR2004
    total = f"{seconds:.1f} s, {tokens:,} tokens through the model"
    return Text(f"{total} ({parts})" if parts else total)
