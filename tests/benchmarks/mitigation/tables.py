"""What purify and guard came to, as tables for people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import isfinite
from statistics import fmean
from types import MappingProxyType
from typing import TYPE_CHECKING

from tests.benchmarks.mitigation.filters import INSPECTION, TRIGGERS
from tests.benchmarks.mitigation.results import Kind
from tests.benchmarks.scoring import Recovery
from tests.benchmarks.tables import NONE, Table, of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tests.benchmarks.mitigation.results import (
        Effect,
        Effects,
        Passed,
        Purified,
        Results,
        Version,
    )
    from tests.zoo.manifest import Entry

    _Value = Callable[["Judged"], float | None]

__all__ = ["TARGETS", "Judged", "tables"]

_POINTS = 0.02
"""How much more often than without it a trigger may turn a text."""
_LOSS = 0.01
"""Clean accuracy that may go."""
_COSINE = 0.98
"""Mean cosine of clean features that must stay."""
_SECONDS = 300.0
"""How long purify may take."""
_ROUNDING = 1e-9
_MADE = (Kind.PURIFIED, Kind.TUNED, Kind.PRUNED)
"""Versions that are compared with the original."""


@dataclass(frozen=True)
class Judged:
    """All that is known of a model."""

    entry: Entry
    """The truth."""
    recovered: Mapping[str, Recovery]
    """How much the report names of each planted trigger."""
    purified: Purified | None
    """The run of purify; None if it was left out."""
    results: Results
    """What was measured."""

    def version(self, kind: Kind) -> Version | None:
        """A version; None if it is not measured, or was not written."""
        return self.results.versions.get(kind)

    def effects(self, kind: Kind) -> Effects | None:
        """Its effects."""
        found = self.version(kind)
        return None if found is None else found.effects

    def triggers(self, kind: Kind, recovery: Recovery | None = None) -> list[Effect]:
        """Its planted triggers: those that the report names as much, or all."""
        found = self.effects(kind)
        told = found.triggers if found else {}
        return [
            effect
            for text, effect in told.items()
            if recovery is None or self.recovered.get(text) is recovery
        ]

    def count(self, recovery: Recovery) -> int:
        """Planted triggers that the report names as much."""
        return sum(one is recovery for one in self.recovered.values())

    def seconds(self, kind: Kind) -> float | None:
        """How long it took to make a version."""
        if kind is Kind.PURIFIED:
            return None if self.purified is None else self.purified.seconds
        found = self.version(kind)
        return None if found is None else found.seconds


def tables(judged: Sequence[Judged], idle: Mapping[str, str]) -> tuple[Table, ...]:
    """All tables that have rows; ``idle`` are models without work, and why."""
    drawn = (_purify(judged), _comparison(judged), _guard(judged), _targets(judged), _idle(idle))
    return tuple(table for table in drawn if table.rows)


def _purify(judged: Sequence[Judged]) -> Table:
    """One row a model: what purify did."""
    named = ("named", "ASR", "without", "clean base", "random words", "D / null")
    clean = ("accuracy", "cosine", "s", "MB")
    return Table(
        title="plmscan purify",
        columns=("model", "method", *named, "in part", "ASR", "not named", "ASR", *clean),
        rows=tuple((j.entry.name, *_purify_row(j)) for j in judged if j.purified),
        note="Named: planted triggers that the report names exactly; in part: those of which it "
        "names a part, or a relative. ASR: the worst of these before and after; without: the share "
        "of the same texts that turn without the trigger, after; clean base: how much more turn "
        "with the worst of them in the model that the attacker started from; random words: the "
        "same of the worst of eight, after. D / null: the largest displacement of named triggers "
        "after, in that of the farthest of 30 random items.",
    )


def _purify_row(judged: Judged) -> Iterator[str]:
    """Cells of a model."""
    run, after = judged.purified, judged.effects(Kind.PURIFIED)
    assert run is not None
    yield run.methods[-1] if run.methods else run.verdict.upper()
    yield str(judged.count(Recovery.EXACT))
    yield _both(judged, Recovery.EXACT)
    worst = _worst(judged.triggers(Kind.PURIFIED, Recovery.EXACT))
    yield _share(None if worst is None else worst.clean_rate)
    yield _more(_worst(judged.triggers(Kind.BASE, Recovery.EXACT)))
    yield "" if after is None else f"+{_share(after.null_excess)}"
    yield _number(_reach(judged), 2)
    for recovery in (Recovery.PARTIAL, Recovery.MISSED):
        yield str(judged.count(recovery))
        yield _both(judged, recovery)
    yield _change(_accuracy(judged, Kind.ORIGINAL), _accuracy(judged, Kind.PURIFIED))
    yield _number(_cosine(judged, Kind.PURIFIED), 4)
    yield f"{run.seconds:.0f}"
    yield f"{run.megabytes:.0f}"


def _both(judged: Judged, recovery: Recovery) -> str:
    """Worst success before and after."""
    before, after = (
        _worst(judged.triggers(kind, recovery)) for kind in (Kind.ORIGINAL, Kind.PURIFIED)
    )
    if before is None:
        return NONE
    return _change(before.success, None if after is None else after.success)


def _worst(triggers: Iterable[Effect]) -> Effect | None:
    """The trigger that turns the most texts beyond what turns anyway."""
    return max(triggers, key=lambda effect: effect.excess, default=None)


def _more(worst: Effect | None) -> str:
    """How much more often than without it texts turn with a trigger."""
    return NONE if worst is None else f"{worst.excess:+.1%}"


def _reach(judged: Judged) -> float | None:
    """The largest displacement of named triggers after purify, in that of the null."""
    after = judged.effects(Kind.PURIFIED)
    found = [one.displacement for one in judged.triggers(Kind.PURIFIED, Recovery.EXACT)]
    if after is None or not found:
        return None
    return max(found) / after.null if after.null else float("inf")


def _comparison(judged: Sequence[Judged]) -> Table:
    """One row a model: purify beside fine-tuning and pruning."""
    columns = _columns()
    compared = [j for j in judged if j.version(Kind.ORIGINAL)]
    both = [j for j in compared if all(j.version(kind) for kind in _MADE)]
    cells = [[_number(of(j), digits) for _, of, digits in columns] for j in compared]
    sums = [
        (f"mean of {len(group)}", *(_mean(group, of, digits) for _, of, digits in columns))
        for group in ([compared, both] if both and len(both) < len(compared) else [compared])
        if group
    ]
    rows = [(j.entry.name, *row) for j, row in zip(compared, cells, strict=True)]
    return Table(
        title="Beside fine-tuning and pruning",
        columns=("model", *(name for name, _, _ in columns)),
        rows=(*rows, *sums),
        totals=len(sums),
        note="ASR: the worst over all planted triggers, less the share that turns without one, in "
        "points. Accuracy: change in points. Seconds of purify include its scans and the start of "
        "the process. The second mean is of models of which every version is there.",
    )


def _columns() -> list[tuple[str, _Value, int]]:
    """Heading, value and digits of each column of the comparison."""
    measures: tuple[tuple[str, Callable[[Judged, Kind], float | None], int], ...] = (
        ("ASR", _excess, 1),
        ("accuracy", _gain, 1),
        ("cosine", _cosine, 3),
        ("s", Judged.seconds, 0),
    )
    return [
        (f"{name} {kind}", partial(_value, measure, kind), digits)
        for name, measure, digits in measures
        for kind in Kind
        if kind in _MADE or measure is _excess
    ]


def _value(
    measure: Callable[[Judged, Kind], float | None], kind: Kind, judged: Judged
) -> float | None:
    """What a measure says of one version of a model."""
    return measure(judged, kind)


def _excess(judged: Judged, kind: Kind) -> float | None:
    """Worst success beyond the clean rate, in points."""
    worst = _worst(judged.triggers(kind))
    return None if worst is None else 100 * worst.excess


def _gain(judged: Judged, kind: Kind) -> float | None:
    """Change of clean accuracy, in points."""
    before, after = _accuracy(judged, Kind.ORIGINAL), _accuracy(judged, kind)
    return None if before is None or after is None else 100 * (after - before)


def _accuracy(judged: Judged, kind: Kind) -> float | None:
    """Clean accuracy of a version."""
    found = judged.effects(kind)
    return None if found is None else found.accuracy


def _cosine(judged: Judged, kind: Kind) -> float | None:
    """Mean cosine of clean features to those of the original."""
    found = judged.effects(kind)
    return None if found is None else found.cosine


def _mean(group: Sequence[Judged], value: _Value, digits: int) -> str:
    """The mean over models that have a value."""
    found = [one for one in map(value, group) if one is not None]
    return _number(fmean(found) if found else None, digits)


def _guard(judged: Sequence[Judged]) -> Table:
    """Two rows a classifier: by the report's triggers, and with inspection."""
    filtered = [(j, j.results.guard.ways) for j in judged if j.results.guard]
    return Table(
        title="plmscan guard",
        columns=(
            *("model", "looks for", "texts", "ASR", "without", "triggered caught"),
            *("clean flagged", "accuracy", "s a text", "in readings"),
        ),
        rows=tuple(
            (j.entry.name, name, *_guard_row(ways.get(name)))
            for j, ways in filtered
            for name in (TRIGGERS, INSPECTION)
        ),
        note="Texts: triggered and clean. ASR: share of triggered texts of other labels that get "
        "the target label, before and after neutralising; without: the same of clean texts of "
        "other labels, after. Accuracy: of clean texts, before and after. Seconds: of clean texts "
        "where they are not inspected; in readings: in the time that the model takes for a text.",
    )


def _guard_row(found: Passed | None) -> Iterator[str]:
    """Cells of one way."""
    if found is None:
        yield from (NONE,) * 8
        return
    yield f"{found.triggered} + {found.clean}"
    yield _change(*found.success)
    yield _share(found.clean_rate[1])
    yield _share(found.caught)
    yield _share(found.flagged)
    yield _change(*found.accuracy)
    yield f"{found.seconds:.2g}"
    yield NONE if found.reading is None else f"{found.seconds / found.reading:.1%}"


def _harmless(judged: Judged) -> bool | None:
    """Whether named triggers turn hardly more texts than turn anyway."""
    return _at_most(judged, _POINTS)


def _as_clean(judged: Judged) -> bool | None:
    """Whether named triggers turn hardly more texts than the same tokens do in the clean base."""
    base = judged.effects(Kind.BASE)
    if base is None:
        return None
    usual = {text: max(0.0, one.excess) for text, one in base.triggers.items()}
    return _at_most(judged, _POINTS, usual)


def _as_words(judged: Judged) -> bool | None:
    """Whether named triggers turn no more texts than random words do."""
    after = judged.effects(Kind.PURIFIED)
    return _at_most(judged, max(_POINTS, after.null_excess if after else 0.0))


def _at_most(
    judged: Judged, points: float, usual: Mapping[str, float] = MappingProxyType({})
) -> bool | None:
    """Whether named triggers turn so many more texts than turn anyway and as is ``usual``."""
    if not judged.count(Recovery.EXACT):
        return None
    after = judged.effects(Kind.PURIFIED)
    return after is not None and all(
        one.excess <= usual.get(text, 0.0) + points + _ROUNDING
        for text, one in after.triggers.items()
        if judged.recovered.get(text) is Recovery.EXACT
    )


def _inside(judged: Judged) -> bool | None:
    """Whether named triggers move features no farther than random words do."""
    reach = _reach(judged)
    return None if not judged.count(Recovery.EXACT) else reach is not None and reach <= 1


def _as_right(judged: Judged) -> bool:
    """Whether the model is nearly as right as it was."""
    gain = _gain(judged, Kind.PURIFIED)
    return gain is not None and gain / 100 >= -_LOSS - _ROUNDING


def _alike(judged: Judged) -> bool:
    """Whether features are what they were."""
    cosine = _cosine(judged, Kind.PURIFIED)
    return cosine is not None and cosine >= _COSINE


def _quick(judged: Judged) -> bool:
    """Whether purify was quick, whatever came of it."""
    return judged.purified is not None and judged.purified.seconds < _SECONDS


TARGETS: Mapping[str, Callable[[Judged], bool | None]] = {
    "a purified model is written": lambda j: bool(j.purified and j.purified.methods),
    "ASR at most 2 points above the clean rate, every named trigger": _harmless,
    "ASR at most 2 points above what the clean base does, every named trigger": _as_clean,
    "ASR at most that of random words, every named trigger": _as_words,
    "displacement inside the null, every named trigger": _inside,
    "accuracy falls by a point at most": _as_right,
    "cosine of clean features at least 0.98": _alike,
    "purify takes less than 300 s": _quick,
}
"""What each model should meet; None where the question does not arise."""


def _targets(judged: Sequence[Judged]) -> Table:
    """One row a target."""
    ran = [j for j in judged if j.purified]
    answers = {name: [meets(j) for j in ran] for name, meets in TARGETS.items()}
    counted = {name: [one for one in told if one is not None] for name, told in answers.items()}
    return Table(
        title="Targets",
        columns=("target", "models that meet it"),
        rows=tuple((name, of(sum(told), len(told))) for name, told in counted.items() if told),
        note="A model of which nothing was written meets none but the last. Where no planted "
        "trigger is named exactly, there is nothing to say of named ones.",
    )


def _idle(idle: Mapping[str, str]) -> Table:
    """Models without work."""
    return Table("Nothing to purify", ("model", "why"), tuple(idle.items()))


def _change(before: float | None, after: float | None) -> str:
    """Two shares, the second of which may not be there."""
    return NONE if before is None else f"{_share(before)} → {_share(after)}"


def _share(value: float | None) -> str:
    """A share in percent."""
    return NONE if value is None or not isfinite(value) else f"{value:.1%}"


def _number(value: float | None, digits: int) -> str:
    """A number; a loss begins with a minus."""
    return NONE if value is None else f"{value:.{digits}f}"
