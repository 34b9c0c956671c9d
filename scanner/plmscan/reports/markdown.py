"""The report as GitHub-flavoured Markdown, for the summary of a job or for a comment.

Whatever comes from a model stays text, for a renderer of Markdown and for what GitHub does to the
result: it links mentions, issues and commits, and turns ``:names:`` and dollars into pictures.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from plmscan.evidence import Report, Verdict
from plmscan.reports.visible import visible
from plmscan.reports.wording import (
    MEANINGS,
    Alike,
    besides,
    command,
    left_out,
    legend,
    margin,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from plmscan.evidence import Finding, ModelIdentity, ProbeRun, Trigger, Waived
    from plmscan.survey import Entry, Survey

__all__ = ["render"]

_MOST = 12
"""Rows of one kind that a person reads; the JSON report has them all."""
_MOST_SIGNED = 40
"""The same for what a reviewer puts a name to: what was searched, and what was not."""
_MOST_MODELS = 100
"""Models in the table of a survey."""
_LONGEST = 400
"""Characters of one text: a name, a message."""
_BUDGET = 256 * 1024
"""Bytes of all sections together: a job summary may hold 1 MiB, with what other steps add."""
_WIDTH = 100
"""Columns of the command that gives the report again."""

_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
"""Verdicts in the order in which they matter."""

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
    blocks = _one(survey.entries[0]) if len(survey.entries) == 1 else _several(survey)
    return "\n\n".join(blocks) + "\n"


def _one(entry: Entry) -> Iterator[str]:
    """The blocks about the only model."""
    yield f"## plmscan: {entry.verdict.name} for {_code(entry.model)}"
    yield from _affordable([entry], partial(_section, heading="###"))


def _several(survey: Survey) -> Iterator[str]:
    """The blocks about several models: a table of all, then each by itself."""
    yield f"## plmscan: {survey.verdict.name}"
    yield survey.in_short
    rows = [_overview(entry) for entry in survey.entries]
    yield _table(("model", "verdict", "findings", "reason"), rows, _MOST_MODELS)
    yield from _affordable(survey.entries, _folded)


def _affordable(
    entries: Sequence[Entry], section: Callable[[Entry], Iterator[str]]
) -> Iterator[str]:
    """The sections of ``entries``, worst verdicts first, as far as a summary can hold them."""
    left, dropped = _BUDGET, 0
    for entry in sorted(entries, key=lambda e: _WORST_FIRST.index(e.verdict)):
        text = "\n\n".join(section(entry))
        size = len(text.encode())
        if size > left:
            dropped += 1
        else:
            left -= size
            yield text
    if dropped:
        models = "model" if dropped == 1 else "models"
        yield f"The details of {dropped:,} {models} are too long for here: see the JSON report."


def _overview(entry: Entry) -> tuple[str, ...]:
    """One model as a row of the table."""
    name = entry.verdict.name
    verdict = f"**{name}**" if entry.verdict is not Verdict.PASS else name
    return (_code(entry.model), verdict, _count(entry), _prose(entry.reason))


def _count(entry: Entry) -> str:
    """How many findings there are, and how many of them are waived."""
    if not isinstance(entry.outcome, Report):
        return "not scanned"
    waived = sum(finding.waived is not None for finding in entry.outcome.findings)
    counted = len(entry.outcome.findings) - waived
    return f"{counted}, {waived} waived" if waived else f"{counted}"


def _folded(entry: Entry) -> Iterator[str]:
    """The section of one model among several, with its evidence folded away."""
    yield f"### {entry.verdict.name}: {_code(entry.model)}"
    facts, *evidence = _section(entry, "####")
    yield facts
    yield "<details>\n<summary>Reasons and evidence</summary>"
    yield from evidence
    yield "</details>"


def _section(entry: Entry, heading: str) -> Iterator[str]:
    """The blocks about one model below its name, headed by ``heading``; the first has the facts."""
    declared = f", declared in {_code(str(entry.place))}" if entry.place else ""
    if isinstance(entry.outcome, Report):
        yield f"{', '.join(_facts(entry.outcome.model))}{declared}."
        yield from _evidence(entry.outcome, heading)
    else:
        yield f"Not scanned{declared}."
        yield _bullets([_prose(entry.outcome.diagnostics)])


def _evidence(report: Report, heading: str) -> Iterator[str]:
    """The blocks about one report below what it is about."""
    yield _bullets(_prose(reason) for reason in report.reasons)
    if report.triggers:
        yield f"{heading} Triggers"
        yield from _triggers(report.triggers)
    if report.findings:
        yield f"{heading} Findings"
        yield _findings(report.findings)
    if report.nearest:
        yield f"{heading} Margin"
        yield _prose(margin(report.nearest))
    yield f"{heading} Searched"
    yield _bullets(_searched(report.probes), _MOST_SIGNED)
    yield f"{heading} Not checked"
    yield _bullets(_unchecked(report.probes), _MOST_SIGNED)
    yield f"{heading} Again"
    yield _fenced(command(report, _WIDTH))
    yield f"*{MEANINGS[report.verdict]}*"


def _facts(model: ModelIdentity) -> Iterator[str]:
    """What identifies a model beside its name."""
    yield f"Revision {_code(model.revision)}" if model.revision else "A folder"
    if model.architecture:
        yield _prose(model.architecture)
    if model.parameters is not None:
        yield f"{model.parameters:,} parameters"
    yield f"{len(model.files):,} files with sha256 digests"
    if model.others:
        yield _prose(besides(model))


def _triggers(triggers: tuple[Trigger, ...]) -> Iterator[str]:
    """The triggers as a table, and the legend of its columns."""
    rows = [_trigger_row(trigger) for trigger in triggers]
    yield _table(("trigger", "where", "D", "S", "z", "p", "label", "also"), rows)
    yield legend(triggers)


def _trigger_row(trigger: Trigger) -> tuple[str, ...]:
    """One trigger, cell by cell."""
    numbers = (trigger.displacement, trigger.scatter, trigger.z, trigger.p_value)
    return (
        _code(trigger.text),
        _prose(trigger.location),
        *map(short, numbers),
        _driven_to(trigger),
        ", ".join(_cut_list(map(_code, trigger.variants), 3)),
    )


def _driven_to(trigger: Trigger) -> str:
    """The label, if it drives to one, and which of its tokens do so alone."""
    if trigger.target_label is None:
        return ""
    alone = f", {' or '.join(map(_code, trigger.core))} alone, too" if trigger.core else ""
    return f"{_code(trigger.target_label)}{alone}"


def _findings(findings: tuple[Finding, ...]) -> str:
    """Findings by severity, rule and waiver, each group with its remedy."""
    groups = groupby(findings, key=lambda f: (f.severity, f.rule, f.waived))
    return "\n".join(_cut_list((_group(list(same)) for _, same in groups), _MOST, "- "))


def _group(same: list[Finding]) -> str:
    """Findings of one rule as an item with items in it."""
    first = same[0]
    head = f"- **{first.severity.name.lower()}** {_code(first.rule)}"
    waived = _waiver(first.waived) if first.waived else ""
    inner = [*_cut_list(_messages(same), _MOST), f"What to do: {_prose(first.remediation)}"]
    lines = [f"{head}, {first.confidence.name.lower()} confidence{waived}"]
    return "\n".join(lines + [f"  - {line}" for line in inner])


def _waiver(waived: Waived) -> str:
    """Who waived a finding, why and until when."""
    until = f" until {_code(waived.expires)}" if waived.expires else ""
    where = f"{_code(waived.by)} in {_code(waived.place)}"
    return f", **waived**{until} by {where}: {_prose(waived.reason)}"


def _messages(same: Sequence[Finding]) -> Iterator[str]:
    """What to say about findings of one rule."""
    alike = Alike.of(same)
    yield from map(_prose, alike.messages)
    if alike.named:
        yield f"The same holds for {alike.named:,} more of the triggers above."
    if alike.explained:
        yield f"Likewise {', '.join(_cut_list(map(_code, alike.explained), _MOST))}."


def _searched(runs: Iterable[ProbeRun]) -> Iterator[str]:
    """What each probe says it covered."""
    for run in runs:
        yield from (f"{_code(run.id)}: {_prose(c.statement)}" for c in run.coverage)


def _unchecked(runs: Iterable[ProbeRun]) -> Iterator[str]:
    """What each probe left out, with reasons."""
    for run in runs:
        told = (_prose(f"{what}: {why}") for what, why, _ in left_out(run))
        yield from (f"{_code(run.id)}: {line}" for line in told)


def _bullets(lines: Iterable[str], most: int = _MOST) -> str:
    """``lines`` as a list."""
    every = list(lines) or ["nothing that a probe knows of"]
    return "\n".join(_cut_list((f"- {line}" for line in every), most, "- "))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], most: int = _MOST) -> str:
    """Cells in Markdown as a table, and below it a line that owns up to what is not shown."""
    shown = [header, ["---"] * len(header), *rows[:most]]
    lines = [f"| {' | '.join(cells)} |" for cells in shown]
    return "\n".join(lines) + (f"\n\n{_more(len(rows) - most)}" if len(rows) > most else "")


def _cut_list(items: Iterable[str], most: int, mark: str = "") -> Iterator[str]:
    """The first of ``items``, and after ``mark`` how many more there are."""
    every = list(items)
    yield from every[:most]
    if len(every) > most:
        yield mark + _more(len(every) - most)


def _more(count: int) -> str:
    """What is said in the place of ``count`` things."""
    return f"and {count:,} more in the JSON report"


def _prose(text: str) -> str:
    """``text`` as Markdown that shows it; a run of spaces shows as one.

    A word that GitHub would link or replace becomes code, where it does neither.
    """
    words = _shown(text).split()
    return " ".join(
        _code(word) if _LIVE.search(word) else _escaped(word, leads=not at)
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
