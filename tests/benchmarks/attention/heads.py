"""What true triggers, and what candidates in clean models, do to attention heads."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING

from pydantic import BaseModel

from plmscan.attention import attend, held_against, matched, overall, worst
from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, shortest
from plmscan.errors import UnsupportedModelError
from plmscan.probes.suspects import leading, most_invariant, token_ids
from tests.benchmarks.outcomes import Half
from tests.benchmarks.scoring import roc
from tests.benchmarks.tables import NONE, Table
from tests.zoo.manifest import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import torch

    from plmscan.attention import Held
    from plmscan.carriers import Carrier
    from plmscan.evidence import Evidence
    from plmscan.loading import LoadedModel
    from tests.zoo.manifest import Entry

__all__ = ["Subject", "Telling", "measured", "tables"]

_CONTROLS = 200
_CARRIERS = 6
_SUSPECTS = 8
_HEADS = ("reading", "received", "agreement", "likeness", "likeness_reading", "likeness_content")
_STATISTICS = (*_HEADS, "alignment")


class Telling(BaseModel):
    """One candidate by one statistic."""

    z: float
    """Robust z of the mean over heads and layers (agreement: the last layer)."""
    p_value: float
    """Two-sided rank p-value of that."""
    worst_z: float
    """z of the cell that is furthest out."""
    worst_p: float
    """Its rank p-value, corrected for all cells (max-T)."""


class Subject(BaseModel):
    """One candidate in one model."""

    ids: tuple[int, ...]
    """Token ids."""
    planted: bool
    """Whether it is a true trigger."""
    invariant: bool
    """Whether it is among the most invariant candidates of the search."""
    statistics: dict[str, Telling]
    """By name."""

    @property
    def beyond(self) -> set[str]:
        """Statistics by which it is further out than every control."""
        return {n for n, told in self.statistics.items() if told.p_value * (_CONTROLS + 1) <= 1}


def measured(model: LoadedModel, entry: Entry, suspects: Sequence[Evidence]) -> list[Subject]:
    """True triggers of one piece, and the candidates of a search, each against controls."""
    carriers = shortest(model, bundled_texts(), _CARRIERS, 0)
    true = {tuple(chain.from_iterable(planted.parts)) for planted in entry.triggers} - {()}
    best = {token_ids(suspect) for suspect in most_invariant(suspects, _SUSPECTS)}
    others = {token_ids(suspect) for suspect in leading(suspects, _SUSPECTS)}
    by_length = defaultdict(list)
    for ids in sorted(true | best | others):
        by_length[len(ids)].append(ids)
    return [
        Subject(ids=ids, planted=ids in true, invariant=ids in best, statistics=told)
        for some in by_length.values()
        for ids, told in _held(model, some, carriers)
    ]


def _held(
    model: LoadedModel, candidates: Sequence[tuple[int, ...]], carriers: Sequence[Carrier]
) -> Iterator[tuple[tuple[int, ...], dict[str, Telling]]]:
    """Candidates of one length by every statistic; none where the model shows no attention."""
    controls = matched(model, candidates, _CONTROLS, 0)
    try:
        found = attend(model, [*candidates, *controls], carriers, Budget(()), "")
    except UnsupportedModelError:
        return
    count = len(candidates)
    tables = {
        name: (_one_number(name, values, count), worst(*_parted(values.flatten(1), count)))
        for name, values in found.items()
    }
    for row, ids in enumerate(candidates):
        yield ids, {name: _telling(mean, cell, row) for name, (mean, cell) in tables.items()}


def _one_number(name: str, values: torch.Tensor, count: int) -> Held:
    """The first ``count`` rows against the rest, by one number each."""
    return held_against(*_parted(overall(name, values), count))


def _parted(values: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first ``count`` rows, and the rest."""
    return values[:count], values[count:]


def _telling(mean: Held, cell: Held, row: int) -> Telling:
    """One candidate's numbers."""
    numbers = (mean.z, mean.p_value, cell.z, cell.p_value)
    z, p_value, worst_z, worst_p = (float(values[row]) for values in numbers)
    return Telling(z=z, p_value=p_value, worst_z=worst_z, worst_p=worst_p)


Known = tuple["Entry", str, list[Subject]]
"""A model of the zoo, its architecture, and what was measured."""


def tables(known: Sequence[Known]) -> Iterator[Table]:
    """Effects by attack family, by architecture, and what a whole model shows."""
    planted = [(e.family, s) for e, _, subjects in known for s in subjects if s.planted]
    clean = [
        (f"clean: {Half.of(e).value}", s)
        for e, _, subjects in known
        for s in subjects
        if e.kind is Kind.CLEAN
    ]
    note = (
        "Share of candidates further out than all 200 matched controls (two-sided p <= 0.005) by "
        "the mean over heads, and the median z. Rows of clean models: the best candidates of the "
        "search, which no attacker planted."
    )
    yield _effects("True triggers by family, and candidates of clean models", planted + clean, note)
    shapes = [
        (f"{kind}, {'true' if planted_ones else 'clean'}", s)
        for e, kind, subjects in known
        for planted_ones in (True, False)
        for s in subjects
        if s.planted is planted_ones and (planted_ones or e.kind is Kind.CLEAN)
    ]
    yield _effects("The same by architecture", shapes, note)
    yield _separation(known)
    yield _single_heads(planted, clean)
    yield _whole_models(known)


def _separation(known: Sequence[Known]) -> Table:
    """AUC of |z| of true triggers against candidates of clean models."""
    groups: dict[str, tuple[list[Subject], list[Subject]]] = {}
    for entry, kind, subjects in known:
        half = Half.of(entry).value
        rivals = [
            s
            for e, _, found in known
            if Half.of(e).value == half and e.kind is Kind.CLEAN
            for s in found
        ]
        alike = [s for e, k, found in known if k == kind and e.kind is Kind.CLEAN for s in found]
        for name, negatives in ((entry.family, rivals), (f"architecture: {kind}", alike)):
            groups.setdefault(name, ([], negatives))[0].extend(s for s in subjects if s.planted)
    order = sorted(groups, key=lambda name: name.startswith("architecture"))
    return Table(
        title="True triggers against the best candidates of clean models",
        columns=("group", "true", "clean", *_STATISTICS),
        rows=tuple(
            (name, str(len(true)), str(len(clean)), *(_auc_of(true, clean, n) for n in _STATISTICS))
            for name, (true, clean) in ((name, groups[name]) for name in order)
            if true and clean
        ),
        note="AUC of |z|. Families against clean models of the same half of the zoo, architectures "
        "against clean models of the same one.",
    )


def _auc_of(true: Sequence[Subject], clean: Sequence[Subject], statistic: str) -> str:
    """Area under the curve of one statistic."""
    scores = [
        [abs(s.statistics[statistic].z) for s in group if statistic in s.statistics]
        for group in (true, clean)
    ]
    curve = roc(*scores)
    return NONE if curve is None else f"{curve.auc:.2f}"


def _effects(title: str, rows: Sequence[tuple[str, Subject]], note: str) -> Table:
    """Share beyond all controls and median z, by group and statistic."""
    groups: dict[str, list[Subject]] = defaultdict(list)
    for name, subject in rows:
        groups[name].append(subject)
    return Table(
        title=title,
        columns=("group", "n", *_STATISTICS),
        rows=tuple(
            (name, str(len(group)), *(_cell(group, statistic) for statistic in _STATISTICS))
            for name, group in groups.items()
        ),
        note=note,
    )


def _cell(group: Sequence[Subject], statistic: str) -> str:
    """Share beyond all controls, and the median z."""
    some = [s for s in group if statistic in s.statistics]
    if not some:
        return NONE
    share = sum(statistic in s.beyond for s in some) / len(some)
    return f"{share:.2f} ({median(s.statistics[statistic].z for s in some):.1f})"


def _single_heads(
    planted: Sequence[tuple[str, Subject]], clean: Sequence[tuple[str, Subject]]
) -> Table:
    """The same by the one cell that is furthest out, corrected for all of them."""

    def cells(group: Sequence[tuple[str, Subject]]) -> Iterator[str]:
        for statistic in _STATISTICS:
            told = [s.statistics[statistic] for _, s in group if statistic in s.statistics]
            hits = sum(one.worst_p <= 0.01 for one in told)
            yield f"{hits / len(told):.2f} ({median(abs(o.worst_z) for o in told):.1f})"

    rows = [("true triggers", planted), ("clean models", clean)]
    return Table(
        title="The head or layer that is furthest out",
        columns=("group", "n", *_STATISTICS),
        rows=tuple((name, str(len(group)), *cells(group)) for name, group in rows if group),
        note="Share with p <= 0.01 after max-T over all cells, and the median |z| of that cell.",
    )


def _whole_models(known: Sequence[Known]) -> Table:
    """AUC of the median z over a model's most invariant candidates, no trigger known."""
    rows = []
    for statistic in _STATISTICS:
        cells = [_auc(known, half, _typical(statistic)) for half in Half]
        rows.append((statistic, *cells))
    both = [_auc(known, half, _lesser) for half in Half]
    rows.append(("lesser of reading and agreement", *both))
    return Table(
        title="Whole models, no trigger known",
        columns=("median z of the most invariant candidates", *(half.value for half in Half)),
        rows=tuple(rows),
        note="AUC of backdoored against clean models.",
    )


def _typical(statistic: str) -> Callable[[Subject], float | None]:
    """The z of a candidate by one statistic."""

    def score(subject: Subject) -> float | None:
        told = subject.statistics.get(statistic)
        return None if told is None else told.z

    return score


def _lesser(subject: Subject) -> float | None:
    """The lesser z of the two that hold."""
    both = [score(subject) for score in map(_typical, ("reading", "agreement"))]
    return None if None in both else min(z for z in both if z is not None)


def _auc(known: Sequence[Known], half: Half, score: Callable[[Subject], float | None]) -> str:
    """AUC in one half of the zoo."""
    scores: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    for entry, _, subjects in known:
        if Half.of(entry) is half:
            scores[entry.kind] += _medians(score(s) for s in subjects if s.invariant)
    curve = roc(scores[Kind.BACKDOORED], scores[Kind.CLEAN])
    return NONE if curve is None else f"{curve.auc:.2f} ({curve.backdoored} to {curve.clean})"


def _medians(values: Iterable[float | None]) -> list[float]:
    """The median in a list; an empty list where there is none."""
    some = [value for value in values if value is not None]
    return [median(some)] if some else []
