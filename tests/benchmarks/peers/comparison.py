"""The peers beside ours, as tables."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks.scoring import Recovery, roc
from tests.benchmarks.tables import NONE, Table, of, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.benchmarks.peers.answers import Answer

__all__ = ["comparison"]


def comparison(title: str, answers: Sequence[Answer]) -> tuple[Table, ...]:
    """What the scanners say in all, by family, and of each model."""
    scanners: dict[str, list[Answer]] = {}
    for answer in answers:
        scanners.setdefault(answer.scanner, []).append(answer)
    return (_summary(title, scanners), _families(title, scanners), _models(title, scanners))


def _summary(title: str, scanners: Mapping[str, Sequence[Answer]]) -> Table:
    """Rates and costs of each scanner."""
    rates = ("models", "recall", "false positives", "AUC", "exact", "partial", "cut short")
    costs = ("median s", "median sequences", "median k tokens", "as published", "peak MB")
    return Table(
        title=f"Peers: {title}",
        columns=("scanner", *rates, *costs),
        rows=tuple((name, *_row(group)) for name, group in scanners.items()),
        note="Models: those that the recipe fits. Intervals: Wilson's, 95 %. AUC: of the slack in "
        "the scanner's own rule. Exact, partial: shares of the true triggers that have tokens. As "
        "published: k tokens of the published code, which reads texts again whose trigger did not "
        "change, where ours remembers them.",
    )


def _row(group: Sequence[Answer]) -> Iterator[str]:
    """Cells of one scanner."""
    backdoored = [a for a in group if a.backdoored]
    clean = [a for a in group if not a.backdoored]
    yield str(len(group))
    yield share(sum(a.flagged for a in backdoored), len(backdoored))
    yield share(sum(a.flagged for a in clean), len(clean))
    yield _area(backdoored, clean)
    sought = [found for a in group for found in a.found if found is not None]
    yield from (of(sought.count(how), len(sought)) for how in (Recovery.EXACT, Recovery.PARTIAL))
    yield str(sum(not a.finished for a in group))
    yield f"{median(a.seconds for a in group):.0f}"
    sequences = [a.sequences for a in group if a.sequences is not None]
    yield f"{median(sequences):.0f}" if sequences else NONE
    yield f"{median(a.forward_tokens for a in group) / 1000:.0f}"
    yield f"{median(a.published_tokens for a in group) / 1000:.0f}"
    yield f"{max(a.megabytes for a in group):.0f}"


def _area(backdoored: Sequence[Answer], clean: Sequence[Answer]) -> str:
    """Area under the ROC curve of the scores; who measured nothing stands below all."""
    known = [a.score for a in (*backdoored, *clean) if a.score is not None]
    lowest = min(known, default=0.0) - 1.0
    scores = (
        [lowest if a.score is None else a.score for a in half] for half in (backdoored, clean)
    )
    curve = roc(*scores)
    return f"{curve.auc:.2f}" if curve else NONE


def _families(title: str, scanners: Mapping[str, Sequence[Answer]]) -> Table:
    """Models that each scanner flags, by family: recall, and false positives of clean ones."""
    everything = [a for group in scanners.values() for a in group]
    families = dict.fromkeys((not a.backdoored, a.entry.family) for a in everything)
    rows = tuple(
        (f"clean: {family}" if clean else family, *_flags(scanners, clean, family))
        for clean, family in sorted(families, key=lambda key: key[0])
    )
    return Table(f"Flagged by family: {title}", ("family", *scanners), rows)


def _flags(
    scanners: Mapping[str, Sequence[Answer]],
    clean: bool,
    family: str,
) -> Iterator[str]:
    """Flagged models of a family, by scanner."""
    for group in scanners.values():
        members = [a for a in group if a.entry.family == family and a.backdoored is not clean]
        yield of(sum(a.flagged for a in members), len(members))


def _models(title: str, scanners: Mapping[str, Sequence[Answer]]) -> Table:
    """What each scanner says of each model, and how many of its triggers it names."""
    by_name = {name: {a.entry.name: a for a in group} for name, group in scanners.items()}
    models = dict.fromkeys(a.entry.name for group in scanners.values() for a in group)
    rows = tuple((m, *(_cell(answers.get(m)) for answers in by_name.values())) for m in models)
    note = "Share of the true triggers with tokens that it names exactly, where there are some."
    return Table(f"By model: {title}", ("model", *scanners), rows, note=note)


def _cell(answer: Answer | None) -> str:
    """One answer."""
    if answer is None:
        return NONE
    sought = [found for found in answer.found if found is not None]
    word = "flagged" if answer.flagged else "not flagged"
    named = f" {of(sought.count(Recovery.EXACT), len(sought))}" if sought else ""
    return word + named + ("" if answer.finished else " (cut)")
