"""How near a model comes to failing.

The *slack* of a condition is the natural log of the ratio of metric to threshold: 0 at the
threshold, at least 0 where the condition holds.  A rule has the slack of its worst condition, and
of every rule on every piece of evidence the largest slack is the model's score.  It is at least 0
exactly if one of the rules fires, and it has no constant of its own to tune.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from plmscan.evidence import Margin, rounded
from plmscan.rules import Comparison

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from plmscan.evidence import Evidence
    from plmscan.rules import Rule

__all__ = ["LIMIT", "NOTHING", "nearest", "rule_slack", "slack"]

LIMIT = 10.0
"""Largest slack: a metric that is 22 000 times its threshold, or a condition of yes and no."""
_BARELY = 1e-9
"""What a strict comparison lacks at its threshold."""

NOTHING = Margin(
    rule="", subject="", metric="", value=0.0, bound="", factor=None, unmet=0, score=-LIMIT
)
"""The margin where no evidence met a rule."""


def slack(comparison: Comparison, value: float) -> float:
    """How far ``value`` is inside (at least 0) or outside (below 0) of its bounds.

    The natural log of the ratio to the bound, cut to -`LIMIT` and `LIMIT`; plus or minus `LIMIT`
    for ``eq``, and where value or bound has no logarithm.  The worst bound counts.
    """
    return min(_slack_of_one(single, value) for single in _singles(comparison))


def rule_slack(rule: Rule, evidence: Evidence) -> Margin | None:
    """The condition of the rule with the least slack; None for evidence that it does not judge.

    Metrics that were left out could not help, since a condition on others does not hold.
    """
    at_hand = evidence.metrics.keys() | set(evidence.unmeasured)
    known = rule.when.keys() & evidence.metrics.keys()
    if rule.probe != evidence.probe or not rule.when.keys() <= at_hand or not known:
        return None
    told = [
        (_slack_of_one(single, evidence.metrics[metric]), metric, single)
        for metric, comparison in rule.when.items()
        if metric in known
        for single in _singles(comparison)
    ]
    least, metric, single = min(told, key=lambda one: one[0])
    return Margin(
        rule=rule.id,
        subject=evidence.subject,
        metric=metric,
        value=rounded(evidence.metrics[metric]),
        bound=single.describe(metric),
        factor=_factor(single, evidence.metrics[metric], least),
        unmet=len({name for short, name, _ in told if short < 0}),
        score=rounded(least),
    )


def nearest(rules: Iterable[Rule], evidence: Collection[Evidence]) -> Margin:
    """The rule with the most slack on its best evidence; `NOTHING` where none judges any."""
    margins = (rule_slack(rule, item) for rule in rules for item in evidence)
    return min((m for m in margins if m is not None), key=_rank, default=NOTHING)


def _rank(margin: Margin) -> tuple[object, ...]:
    """Sort key: the most slack first; the rest makes the order total."""
    subject = (margin.rule, margin.subject, margin.metric, margin.value)
    return (-margin.score, margin.unmet, *subject, margin.bound)


def _singles(comparison: Comparison) -> list[Comparison]:
    """Each bound as a comparison of its own."""
    bounds = comparison.bounds
    if len(bounds) == 1:
        return [comparison]
    return [Comparison(**{name: bound}) for name, bound in bounds.items()]


def _slack_of_one(single: Comparison, value: float) -> float:
    """Slack of the only bound; its sign is that of the comparison, to the last digit."""
    ((name, bound),) = single.bounds.items()
    holds = single.holds(value)
    if name == "eq" or not (value > 0 and bound > 0):
        return LIMIT if holds else -LIMIT
    ratio = math.log(value) - math.log(bound)
    inside = min(max(ratio if name in {"gte", "gt"} else -ratio, -LIMIT), LIMIT)
    return max(0.0, inside) if holds else min(inside, -_BARELY)


def _factor(single: Comparison, value: float, least: float) -> float | None:
    """Value by bound; None where the slack is cut, and the ratio says nothing."""
    (bound,) = single.bounds.values()
    return rounded(value / bound) if abs(least) < LIMIT else None
