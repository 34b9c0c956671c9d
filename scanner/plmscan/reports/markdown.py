"""The report as GitHub-flavoured Markdown, for the summary of a job or for a comment.

Whatever comes from a model stays text, for a renderer of Markdown and for what GitHub does to the
result: it links mentions, issues and commits, and turns ``:names:`` and dollars into pictures.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from plmscan.evidence import Verdict
from plmscan.reports.view import ModelView
from plmscan.reports.visible import visible
from plmscan.reports.wording import (
    MEANINGS,
    MOST,
    MOST_SIGNED,
    NOTHING,
    command,
    more,
    plural,
)
from plmscan.survey import WORST_FIRST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from plmscan.reports.view import Alike, ReportView, Statement, TableView
    from plmscan.survey import Survey

__all__ = ["render", "table"]

_MOST_MODELS = 100
"""Models in the table of a survey."""
_LONGEST = 400
"""Characters of one text: a name, a message."""
_BUDGET = 256 * 1024
"""Bytes of all sections together: a job summary may hold 1 MiB, with what other steps add."""
_WIDTH = 100
"""Columns of the command that gives the report again."""

_LIVE = re.compile(
    r"""
    [@#$]                  # mentions, issues and colours, formulas
    | :// | www\.          # addresses
    | :[\w+-]+:            # emoji
    | gh-\d                # issues, once more
    | \b[0-9a-f]{7,64}\b   # commits
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What GitHub makes more of than text, unless it stands in code."""

_MARKUP = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\`*_[]~"}
    | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"}
)
"""What Markdown makes more of than text, wherever it stands."""

_LEAD = re.compile(r"^(\d{0,9})([-+=.)])")
"""What would start a list or a line, where a block begins."""


def render(survey: Survey) -> str:
    """``survey`` as Markdown; whatever comes from a model is text."""
    models = [ModelView.of(entry) for entry in survey.entries]
    blocks = _one(models[0]) if len(models) == 1 else _several(survey, models)
    return "\n\n".join(blocks) + "\n"


def _one(model: ModelView) -> Iterator[str]:
    """The blocks about the only model."""
    yield f"## plmscan: {model.entry.verdict.name} for {_code(model.entry.model)}"
    yield from _affordable([model], partial(_section, heading="###"))


def _several(survey: Survey, models: Sequence[ModelView]) -> Iterator[str]:
    """The blocks about several models: a table of all, then each by itself."""
    yield f"## plmscan: {survey.verdict.name}"
    yield survey.in_short
    rows = [_overview(model) for model in models]
    yield _table(("model", "verdict", "findings", "reason"), rows, _MOST_MODELS)
    yield from _affordable(models, _folded)


def _affordable(
    models: Sequence[ModelView], section: Callable[[ModelView], Iterator[str]]
) -> Iterator[str]:
    """The sections of ``models``, worst verdicts first, as far as a summary can hold them."""
    left, dropped = _BUDGET, 0
    for model in sorted(models, key=lambda m: WORST_FIRST.index(m.entry.verdict)):
        text = "\n\n".join(section(model))
        size = len(text.encode())
        if size > left:
            dropped += 1
        else:
            left -= size
            yield text
    if dropped:
        models_left = plural(dropped, "model")
        yield f"The details of {models_left} are too long for here: see the JSON report."


def _overview(model: ModelView) -> tuple[str, ...]:
    """One model as a row of the table."""
    name = model.entry.verdict.name
    verdict = f"**{name}**" if model.entry.verdict is not Verdict.PASS else name
    return (_code(model.entry.model), verdict, model.count, _prose(model.entry.reason))


def _folded(model: ModelView) -> Iterator[str]:
    """The section of one model among several, with its evidence folded away."""
    yield f"### {model.entry.verdict.name}: {_code(model.entry.model)}"
    facts, *evidence = _section(model, "####")
    yield facts
    yield "<details>\n<summary>Reasons and evidence</summary>"
    yield from evidence
    yield "</details>"


def _section(model: ModelView, heading: str) -> Iterator[str]:
    """The blocks about one model below its name, headed by ``heading``; the first has the facts."""
    told = [f"**{name}** {_prose(value)}" for name, value in model.facts if name != "id"]
    yield " · ".join(told if model.report else ["**not scanned**", *told])
    if model.report is None:
        yield _bullets([_prose(model.entry.reason)])
    else:
        yield _bullets(map(_prose, model.reasons))
        yield from [_prose(model.report.replaced)] if model.report.replaced else []
        yield from _evidence(model.report, heading)


def _evidence(view: ReportView, heading: str) -> Iterator[str]:
    """The blocks about one report below the reasons of its verdict."""
    tables = (("Triggers", view.triggers), ("Answers", view.answers), ("Texts", view.texts))
    for title, told in tables:
        if told.rows:
            yield f"{heading} {title}"
            yield _table(told.columns, [[*_cells(told, row)] for row in told.rows])
            yield told.legend
    if groups := (*view.counted, *view.waived):
        yield f"{heading} Findings"
        yield "\n".join(_cut_list(map(_group, groups), MOST, "- "))
    if view.margin:
        yield f"{heading} Margin"
        yield _prose(view.margin)
    yield f"{heading} Searched"
    yield _by_probe(view.searched)
    yield f"{heading} Not checked"
    yield _by_probe(view.unchecked)
    if view.control:
        yield f"{heading} Control"
        yield from map(_prose, view.control)
    yield f"{heading} Reproduce"
    yield _fenced(command(view.report, _WIDTH))
    yield f"*{MEANINGS[view.report.verdict]}*"


def _cells(told: TableView, row: Sequence[str]) -> Iterator[str]:
    """A row of a table; what stands between quotes becomes code, which shows every space."""
    for column, text in zip(told.columns, row, strict=True):
        quoted = re.fullmatch("“(.*)”", text, re.DOTALL)
        plain = text if column in told.numbers else _prose(text)
        yield _code(quoted[1]) if quoted else plain


def _group(group: Alike) -> str:
    """Findings of one rule as an item with items in it."""
    head = f"- **{group.severity}** {_code(group.first.rule)}, {group.confidence}"
    inner = [*_cut_list(map(_prose, group.messages), MOST)]
    inner += [_subjects(group)]
    inner += [_prose(group.waiver)] if group.waiver else []
    inner += [f"What to do: {_prose(group.first.remediation)}"]
    waived = ", **waived**" if group.waiver else ""
    return "\n".join([f"{head}{waived}", *(f"  - {line}" for line in inner)])


def _subjects(group: Alike) -> str:
    """What a waiver of these findings has to name."""
    hidden = [more(group.subjects_left_out)] if group.subjects_left_out else []
    return f"Subject: {' '.join([', '.join(map(_code, group.subjects)), *hidden])}"


def _by_probe(told: Iterable[Statement]) -> str:
    """What probes say, each line with the probe's id."""
    return _bullets((f"{_code(one.probe)}: {_prose(str(one))}" for one in told), MOST_SIGNED)


def _bullets(lines: Iterable[str], most: int = MOST) -> str:
    """``lines`` as a list."""
    every = list(lines) or [NOTHING]
    return "\n".join(_cut_list((f"- {line}" for line in every), most, "- "))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], most: int = MOST) -> str:
    """Cells in Markdown as a table, and below it a line that owns up to what is not shown."""
    shown = [header, ["---"] * len(header), *rows[:most]]
    lines = [f"| {' | '.join(cells)} |" for cells in shown]
    return "\n".join(lines) + (f"\n\n{more(len(rows) - most)}" if len(rows) > most else "")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], most: int) -> str:
    """Texts as a table of at most so many rows; whatever comes from a model is text."""
    return _table(header, [[_prose(cell) if cell else "" for cell in row] for row in rows], most)


def _cut_list(items: Iterable[str], most: int, mark: str = "") -> Iterator[str]:
    """The first of ``items``, and after ``mark`` how many more there are."""
    every = list(items)
    yield from every[:most]
    if len(every) > most:
        yield mark + more(len(every) - most)


def _prose(text: str) -> str:
    """``text`` as Markdown that shows it; a run of spaces shows as one.

    A word that GitHub would link or replace becomes code, where it does neither; the comma behind
    it stays outside.
    """
    words = _shown(text).split()
    return " ".join(
        _code(word.removesuffix(",")) + "," * word.endswith(",")
        if _LIVE.search(word)
        else _escaped(word, leads=not at)
        for at, word in enumerate(words)
    )


def _escaped(word: str, *, leads: bool) -> str:
    """``word`` as Markdown; the first one must not start a list."""
    text = word.translate(_MARKUP)
    return _LEAD.sub(r"\1\\\2", text) if leads else text


def _code(text: str) -> str:
    """``text`` as a code span that shows it, also in a table, where no span can hold a bar."""
    parts = _shown(text).split("|")
    return "&#124;".join(_span(part) if part else "" for part in parts) or "*(empty)*"


def _span(text: str) -> str:
    """``text``, which is not empty and holds no bar, as one code span."""
    fence = "`" * (_longest_run(text) + 1)
    # A span loses one space at each end if both are there, unless it holds nothing else.
    at_fence = text.startswith("`") or text.endswith("`")
    lost = text.startswith(" ") and text.endswith(" ") and bool(text.strip(" "))
    pad = " " if at_fence or lost else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _fenced(text: str) -> str:
    """Lines of a shell as a block of code."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}sh\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    """Length of the longest run of backticks."""
    return max(map(len, re.findall(r"`+", text)), default=0)


def _shown(text: str) -> str:
    """``text`` with nothing hidden in it, cut openly where nobody reads on."""
    told = visible(text[:_LONGEST])[:_LONGEST]
    left_out = len(text) - _LONGEST
    return f"{told}… ({left_out:,} characters more)" if left_out > 0 else told
