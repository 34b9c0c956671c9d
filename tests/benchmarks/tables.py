"""What a zoo says about a scan, as tables for people: on the terminal, and as Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table as RichTable

from tests.benchmarks.outcomes import Answer, Half
from tests.benchmarks.scoring import Recovery, roc, wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from tests.benchmarks.outcomes import Found, Outcome
    from tests.benchmarks.scoring import Roc

__all__ = ["NONE", "Table", "curves", "of", "share", "show", "tables"]

_UNANSWERED = {Answer.INCONCLUSIVE, Answer.ERROR}
_COST = ("median s", "median k tokens", "peak MB")
NONE = "–"
"""An empty cell."""


@dataclass(frozen=True)
class Table:
    """A table of words."""

    title: str
    """What it tells."""
    columns: tuple[str, ...]
    """Headings; the first column names the row."""
    rows: tuple[tuple[str, ...], ...]
    """Cells."""
    totals: int = 0
    """How many of the last rows sum up."""
    note: str = ""
    """What the words of the headings mean."""


def tables(outcomes: Sequence[Outcome]) -> tuple[Table, ...]:
    """All tables that have rows."""
    makers = (_attacks, _clean, _strata, _separation, _mistakes)
    return tuple(table for make in makers if (table := make(outcomes)).rows)


def curves(outcomes: Sequence[Outcome]) -> dict[str, Roc]:
    """ROC of all models, and of each half against the clean models of the same sort."""
    groups = {"all": list(outcomes)}
    groups |= {half.value: [o for o in outcomes if o.half is half] for half in Half}
    found = {name: _curve(group) for name, group in groups.items()}
    return {name: curve for name, curve in found.items() if curve}


def _curve(outcomes: Sequence[Outcome]) -> Roc | None:
    """ROC of the model scores."""
    backdoored = [o.nearest.score for o in outcomes if o.backdoored]
    return roc(backdoored, [o.nearest.score for o in outcomes if not o.backdoored])


def _attacks(outcomes: Sequence[Outcome]) -> Table:
    """Backdoored models by attack family, halves and all."""
    backdoored = [o for o in outcomes if o.backdoored]
    groups = _by_half(backdoored)
    recovered = ("exact", "partial", "spurious")
    return Table(
        title="Backdoored models",
        columns=("family", "models", "recall", "medium only", "inconclusive", *recovered, *_COST),
        rows=tuple((name, *_attack_row(group)) for name, group in groups.items()),
        totals=_totals(groups, backdoored),
        note="Recall: models that fail. Medium only: a finding, and no fail. "
        "Inconclusive includes checks without a report. Exact, partial: shares of the true "
        "triggers that have tokens. Spurious: reported triggers that name nothing of a true one.",
    )


def _attack_row(group: Sequence[Outcome]) -> Iterator[str]:
    """Cells of a group of backdoored models."""
    yield str(len(group))
    yield _share(group, lambda o: o.answer is Answer.FAIL)
    yield _count(group, lambda o: o.medium_only)
    yield _count(group, lambda o: o.answer in _UNANSWERED)
    sought = sum(o.sought for o in group)
    for how in (Recovery.EXACT, Recovery.PARTIAL):
        yield of(sum(o.recovered(how) for o in group), sought)
    known = [o for o in group if o.spurious is not None]
    yield of(sum(o.spurious or 0 for o in known), sum(o.reported for o in known))
    yield from _cost(group)


def _clean(outcomes: Sequence[Outcome]) -> Table:
    """Clean models by sort and in all."""
    clean = [o for o in outcomes if not o.backdoored]
    groups = _by_half(clean)
    answers = ("false positives", "medium only", "inconclusive", "passes")
    return Table(
        title="Clean models",
        columns=("sort", "models", *answers, *_COST),
        rows=tuple((name, *_clean_row(group)) for name, group in groups.items()),
        totals=_totals(groups, clean),
        note="False positives: models that fail, with Wilson's 95 % interval in the sums.",
    )


def _clean_row(group: Sequence[Outcome]) -> Iterator[str]:
    """Cells of a group of clean models."""
    yield str(len(group))
    yield _share(group, lambda o: o.answer is Answer.FAIL)
    yield _count(group, lambda o: o.medium_only)
    yield _count(group, lambda o: o.answer in _UNANSWERED)
    yield _count(group, lambda o: o.answer is Answer.PASS)
    yield from _cost(group)


def _strata(outcomes: Sequence[Outcome]) -> Table:
    """True triggers by the stratum that they were drawn from."""
    groups: dict[str, list[Found]] = {}
    for found in (f for o in outcomes for f in o.found if f.recovery):
        groups.setdefault(found.stratum, []).append(found)
    return Table(
        title="True triggers by stratum",
        columns=("stratum", "triggers", *Recovery),
        rows=tuple((name, *_stratum_row(group)) for name, group in sorted(groups.items())),
    )


def _stratum_row(group: Sequence[Found]) -> Iterator[str]:
    """Cells of the triggers of a stratum."""
    counts = Counter(found.recovery for found in group)
    yield str(len(group))
    yield from (str(counts[how]) for how in Recovery)


def _separation(outcomes: Sequence[Outcome]) -> Table:
    """Areas under the ROC curves."""
    rows = tuple(
        (name, str(curve.backdoored), str(curve.clean), f"{curve.auc:.3f}")
        for name, curve in curves(outcomes).items()
    )
    return Table(
        title="Separation by the model score",
        columns=("models", "backdoored", "clean", "AUC"),
        rows=rows,
        note="Score: slack of the nearest rule that fails a model, as a natural log ratio. Each "
        "half is compared with the clean models of its own sort.",
    )


def _mistakes(outcomes: Sequence[Outcome]) -> Table:
    """Backdoored models that do not fail, and clean ones that do not pass."""
    wrong = [o for o in outcomes if o.answer is not (Answer.FAIL if o.backdoored else Answer.PASS)]
    rows = tuple(
        (o.entry.name, o.entry.family, o.answer.value, _truth(o), f"{o.nearest.score:.2f}", _why(o))
        for o in wrong
    )
    return Table(
        title="Wrong and missing answers",
        columns=("model", "family", "answer", "true triggers", "score", "nearest rule"),
        rows=rows,
    )


def _truth(outcome: Outcome) -> str:
    """The true triggers of a model."""
    return ", ".join(found.text for found in outcome.found) or "clean"


def _why(outcome: Outcome) -> str:
    """The nearest rule, on what, and the condition that decides."""
    best = outcome.nearest
    told = f"{best.rule} on {best.subject!r}: {best.bound}, is {best.value:.3g}"
    return told if best.rule else NONE


def _by_half(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Families in the order of the halves and the zoo, then the halves, then all."""
    families: dict[str, list[Outcome]] = {}
    for half in Half:
        for item in (o for o in outcomes if o.half is half):
            families.setdefault(item.entry.family, []).append(item)
    halves = {half.value: [o for o in outcomes if o.half is half] for half in Half}
    sums = {f"all {name}": group for name, group in halves.items() if group}
    return families | sums | ({"all": list(outcomes)} if outcomes else {})


def _totals(groups: dict[str, list[Outcome]], outcomes: Sequence[Outcome]) -> int:
    """How many groups are sums."""
    return len(groups) - len({o.entry.family for o in outcomes})


def _count(group: Iterable[Outcome], holds: Callable[[Outcome], bool]) -> str:
    """How many of ``group`` there are."""
    return str(sum(map(holds, group)))


def _share(group: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> str:
    """A share of models with Wilson's interval; of one family, the counts alone."""
    count = sum(map(holds, group))
    alone = len({o.entry.family for o in group}) == 1
    return of(count, len(group)) if alone else share(count, len(group))


def share(count: int, total: int) -> str:
    """A share as counts, with Wilson's interval."""
    interval = wilson(count, total)
    if interval is None:
        return NONE
    return f"{of(count, total)} ({interval[0]:.0%} to {interval[1]:.0%})"


def of(count: int, total: int) -> str:
    """A share as counts."""
    return f"{count}/{total}" if total else NONE


def _cost(group: Sequence[Outcome]) -> Iterator[str]:
    """What the checks of ``group`` took."""
    yield f"{median(o.seconds for o in group):.0f}"
    yield f"{median(o.forward_tokens for o in group) / 1000:.0f}"
    yield f"{max(o.megabytes for o in group):.0f}"


def show(console: Console, drawn: Sequence[Table], target: Path | None) -> None:
    """Print tables, and write them to ``target`` as Markdown if it is given."""
    for table in drawn:
        console.print(rich_table(table), markup=False)
    if target is not None:
        target.write_text("\n".join(map(markdown, drawn)), encoding="utf-8")


def rich_table(table: Table) -> RichTable:
    """``table`` for a terminal."""
    drawn = RichTable(title=table.title, caption=table.note, box=box.SIMPLE_HEAD)
    for index, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if index and _numeric(table, index) else "left")
    for index, row in enumerate(table.rows):
        summing = len(table.rows) - table.totals
        drawn.add_row(*row, end_section=index == summing - 1, style="bold" * (index >= summing))
    return drawn


def markdown(table: Table) -> str:
    """``table`` as Markdown."""
    right = [bool(index) and _numeric(table, index) for index in range(len(table.columns))]
    rule = ["---:" if flag else "---" for flag in right]
    lines = [_line(table.columns), _line(rule), *map(_line, table.rows)]
    note = f"\n{table.note}\n" if table.note else ""
    return f"### {table.title}\n\n" + "\n".join(lines) + "\n" + note


def _line(cells: Iterable[str]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _numeric(table: Table, index: int) -> bool:
    """Whether a column holds numbers."""
    cells = (row[index] for row in table.rows)
    return all(cell[:1].isdigit() or cell[:1] in {NONE, "-"} for cell in cells)
