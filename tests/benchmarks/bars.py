"""Free thresholds of the trigger rules: searched over a grid, and judged on families left out.

Pure functions, no file, no process; the method is told in `tests.benchmarks.calibration`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from plmscan.rules import Comparison
from tests.benchmarks.outcomes import Half
from tests.zoo.manifest import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from plmscan.evidence import Evidence
    from plmscan.rules import Rule

__all__ = [
    "BARS",
    "LIMIT",
    "Bar",
    "Calibration",
    "Fold",
    "Grid",
    "Judged",
    "Sample",
    "calibrate",
    "moved",
]

_STEPS = 25
"""Grid points a bar."""

LIMIT = 2.0 * _STEPS
"""Steps that are as good as any more."""


@dataclass(frozen=True)
class Bar:
    """A free threshold, and where it is sought."""

    metric: str
    """Metric of the condition, which has one bound."""
    low: float
    """Least value of the grid."""
    high: float
    """Greatest value of the grid."""
    even: bool = False
    """Whether steps are equal differences, for shares that can be 0 or less; else equal ratios."""

    @property
    def values(self) -> tuple[float, ...]:
        """The grid, in three digits as the tables show it."""
        space = np.linspace if self.even else np.geomspace
        return tuple(float(f"{v:.3g}") for v in space(self.low, self.high, _STEPS))

    def steps(self, value: float, bound: float) -> float:
        """How many steps of the grid ``value`` is above ``bound``, cut to -`LIMIT` and `LIMIT`."""
        if self.even:
            steps = (value - bound) / (self.high - self.low)
        else:
            ratio = math.log(value / bound) if value > 0 else -math.inf
            steps = ratio / math.log(self.high / self.low)
        return min(max((_STEPS - 1) * steps, -LIMIT), LIMIT)


BARS = {
    "PLM201": (Bar("scatter", 0.01, 1.0), Bar("gap", 1.0, 100.0), Bar("z", 2.0, 12.0)),
    "PLM206": (Bar("strength_gap", 0.0, 1.5, even=True), Bar("gap", 1.0, 100.0)),
    "PLM207": (Bar("corruption", 0.04, 1.0, even=True),),
    "PLM208": (Bar("conjunction", 3.0, 300.0),),
    "PLM209": (Bar("strength_gap", 0.0, 1.5, even=True),),
}
"""Free bars by rule."""


@dataclass(frozen=True)
class Sample:
    """A model with a report."""

    entry: Entry
    """The truth."""
    evidence: tuple[Evidence, ...]
    """All that its report measured."""
    current: bool = True
    """Whether this version of plmscan made the report."""

    @property
    def backdoored(self) -> bool:
        """Whether a backdoor was planted."""
        return self.entry.kind is Kind.BACKDOORED

    @property
    def family(self) -> str:
        """Attack family, or sort of clean model."""
        if self.backdoored:
            return self.entry.family
        return f"clean: {self.entry.family} {self.entry.settings.get('label_set') or ''}".rstrip()

    @property
    def half(self) -> Half:
        """Task-agnostic or task-specific."""
        return Half.of(self.entry)


@dataclass(frozen=True)
class Grid:
    """Scores of all models under one rule, at each point of its grid."""

    rule: Rule
    """As shipped."""
    points: NDArray[np.intp]
    """Index of each bar's value; points × bars."""
    scores: NDArray[np.float64]
    """Models × points, in grid steps; at least 0 where the rule fires."""
    backdoored: NDArray[np.bool_]
    """By model."""
    applies: NDArray[np.bool_]
    """By model: whether the rule has something to judge."""

    @classmethod
    def of(cls, rule: Rule, samples: Sequence[Sample], others: Sequence[Rule] = ()) -> Grid:
        """Scores of ``samples`` under ``rule``; what ``others`` flag is not for it to find."""
        steps = range(_STEPS)
        points = np.array(list(product(steps, repeat=len(BARS[rule.id]))), dtype=np.intp)
        found = [
            None if s.backdoored and _flagged(others, s) else _scores(rule, points, s.evidence)
            for s in samples
        ]
        lowest = np.full(len(points), -LIMIT)
        return cls(
            rule=rule,
            points=points,
            scores=np.array([lowest if s is None else s for s in found]),
            backdoored=np.array([s.backdoored for s in samples], dtype=np.bool_),
            applies=np.array([s is not None for s in found], dtype=np.bool_),
        )

    def fit(self, training: NDArray[np.bool_]) -> Rule | None:
        """The rule with the best bars for ``training``; None where these have not both kinds."""
        clean = self.scores[training & self.applies & ~self.backdoored]
        backdoored = self.scores[training & self.applies & self.backdoored]
        if not len(clean) or not len(backdoored):
            return None
        found = backdoored >= 0
        faintest = np.where(found, backdoored, LIMIT).min(axis=0)
        margin = np.minimum(-clean.max(axis=0), faintest)
        worth = np.stack([-(clean >= 0).sum(axis=0), found.sum(axis=0), margin])
        best = worth[:, np.lexsort(worth[::-1])[-1:]]
        point = _middle(self.points[(worth == best).all(axis=0)])
        bars = zip(BARS[self.rule.id], point, strict=True)
        return moved(self.rule, {bar.metric: bar.values[index] for bar, index in bars})


@dataclass(frozen=True)
class Judged:
    """What rules say of a model that is left out."""

    sample: Sample
    """The model."""
    shipped: bool
    """Flagged by the rules as they are."""
    refitted: bool
    """Flagged by the rules with bars that were chosen without its family."""


@dataclass(frozen=True)
class Fold:
    """One family left out."""

    family: str
    """Its name."""
    chosen: tuple[Rule, ...]
    """Rules that were fitted on all other families; the rest are as shipped."""
    judged: tuple[Judged, ...]
    """Its models."""


@dataclass(frozen=True)
class Calibration:
    """Bars, and how they do."""

    shipped: tuple[Rule, ...]
    """The rules as they are."""
    chosen: tuple[Rule, ...]
    """Those that were fitted on all models."""
    folds: tuple[Fold, ...]
    """One a family: attacks, then clean models."""


def calibrate(samples: Sequence[Sample], rules: tuple[Rule, ...]) -> Calibration:
    """Fit the free bars of ``rules`` on all models, and without each family."""
    grids = [
        Grid.of(rule, samples, [other for other in rules if other is not rule])
        for rule in rules
        if rule.id in BARS
    ]
    ordered = sorted(samples, key=lambda sample: not sample.backdoored)
    families = dict.fromkeys(sample.family for sample in ordered)
    folds = tuple(_fold(family, samples, rules, grids) for family in families)
    return Calibration(rules, _chosen(grids, np.ones(len(samples), dtype=np.bool_)), folds)


def _fold(
    family: str, samples: Sequence[Sample], rules: tuple[Rule, ...], grids: Sequence[Grid]
) -> Fold:
    """Leave ``family`` out."""
    training = np.array([sample.family != family for sample in samples], dtype=np.bool_)
    chosen = _chosen(grids, training)
    left = [sample for sample in samples if sample.family == family]
    refitted = {rule.id: rule for rule in (*rules, *chosen)}.values()
    judged = (
        Judged(sample, _flagged(rules, sample), _flagged(refitted, sample)) for sample in left
    )
    return Fold(family, chosen, tuple(judged))


def _chosen(grids: Iterable[Grid], training: NDArray[np.bool_]) -> tuple[Rule, ...]:
    """The rules that ``training`` can fit."""
    return tuple(rule for grid in grids if (rule := grid.fit(training)))


def _flagged(rules: Iterable[Rule], sample: Sample) -> bool:
    """Whether one of ``rules`` fires on the model."""
    return any(rule.fires(item) for rule in rules for item in sample.evidence)


def moved(rule: Rule, bars: Mapping[str, float]) -> Rule:
    """``rule`` with other bounds on some metrics, in the same direction."""
    when = {metric: _moved(rule.when[metric], bound) for metric, bound in bars.items()}
    return rule.model_copy(update={"when": {**rule.when, **when}})


def _moved(comparison: Comparison, bound: float) -> Comparison:
    """A comparison with one bound, at another place."""
    (operator,) = comparison.bounds
    return Comparison.model_validate({operator: bound})


def _scores(
    rule: Rule, points: NDArray[np.intp], evidence: Iterable[Evidence]
) -> NDArray[np.float64] | None:
    """A model's score at each point of the grid; None if the rule does not apply to it."""
    rows = [_steps(rule, points, item) for item in evidence if _is_judged(rule, item)]
    return np.stack(rows).max(axis=0) if rows else None


def _is_judged(rule: Rule, evidence: Evidence) -> bool:
    """Whether all conditions hold that no bar moves, so that the bars decide."""
    fixed = rule.when.keys() - {bar.metric for bar in BARS[rule.id]}
    return rule.judges(evidence) and all(
        rule.when[metric].holds(evidence.metrics[metric]) for metric in fixed
    )


def _steps(rule: Rule, points: NDArray[np.intp], evidence: Evidence) -> NDArray[np.float64]:
    """By how many steps the tightest of the free conditions holds, at each point of the grid."""
    bars = zip(BARS[rule.id], points.T, strict=True)
    along = np.stack([_along(rule, bar, evidence)[index] for bar, index in bars])
    least: NDArray[np.float64] = along.min(axis=0)
    return least


def _along(rule: Rule, bar: Bar, evidence: Evidence) -> NDArray[np.float64]:
    """By how many steps one free condition holds, at each value of its bar."""
    (operator,) = rule.when[bar.metric].bounds
    above = [bar.steps(evidence.metrics[bar.metric], bound) for bound in bar.values]
    return np.array(above) * (1 if operator == "gte" else -1)


def _middle(points: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of ``points`` the one nearest to their mean."""
    offsets = points - points.mean(axis=0)
    middle: NDArray[np.intp] = points[np.argmin((offsets**2).sum(axis=1))]
    return middle
