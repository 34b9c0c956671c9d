"""How near evidence is to a rule: slack, the condition that decides, the nearest rule."""

from __future__ import annotations

import pytest

from plmscan.evidence import Evidence, Margin
from plmscan.margin import LIMIT, NOTHING, nearest, rule_slack, slack
from plmscan.rules import Comparison
from tests.specimens import CUSTOM_CODE, PLANTED, hit

CODE = Evidence("custom-code", "modeling_odd.py", {"files": 1.0})


@pytest.mark.parametrize(
    ("comparison", "value", "expected"),
    [
        (Comparison(gte=2), 4, 0.693147),
        (Comparison(gte=2), 1, -0.693147),
        (Comparison(lte=2), 1, 0.693147),
        (Comparison(lte=2), 4, -0.693147),
        (Comparison(gte=2), 0, -LIMIT),
        (Comparison(lte=2), -1, LIMIT),
        (Comparison(gte=2), 1e30, LIMIT),
        (Comparison(eq=0), 0, LIMIT),
        (Comparison(eq=0), 0.1, -LIMIT),
        (Comparison(gt=1, lte=4), 2, 0.693147),
        (Comparison(gte=1), float("nan"), -LIMIT),
        (Comparison(lte=0), 0, LIMIT),
        (Comparison(gt=0), 0, -LIMIT),
    ],
)
def test_slack_is_a_cut_log_ratio(comparison: Comparison, value: float, expected: float) -> None:
    """Twice a lower bound, or half of an upper one, is a slack of log 2; the worst bound counts."""
    assert slack(comparison, value) == pytest.approx(expected, abs=1e-5)


def test_a_strict_bound_is_not_met_at_the_bound() -> None:
    """``gt 2`` does not hold at 2, and the slack says so; ``gte 2`` does."""
    assert slack(Comparison(gt=2), 2) < 0
    assert slack(Comparison(gte=2), 2) == 0


def test_the_condition_that_holds_least_decides() -> None:
    """The best evidence counts, and of its conditions the worst, with its distance as a factor."""
    assert nearest([PLANTED], [hit(z=4.0), hit(z=1.0)]) == Margin(
        rule="PLM201",
        subject="cf",
        metric="z",
        value=4.0,
        bound="z >= 8",
        factor=0.5,
        unmet=1,
        score=-0.693147,
    )


def test_conditions_that_do_not_hold_are_counted() -> None:
    """Where two of them fail, mending the worst is not enough, and the margin says so."""
    found = nearest([PLANTED], [hit(z=4.0, scatter=0.9)])
    assert (found.bound, found.factor, found.unmet) == ("scatter <= 0.3", 3.0, 2)
    assert nearest([PLANTED], [hit()]).unmet == 0


def test_of_two_bounds_on_one_metric_the_worse_is_told() -> None:
    """A metric between two bounds has its distance to the one that it violates."""
    between = PLANTED.model_copy(update={"when": {"z": Comparison(gt=8.0, lte=16.0)}})
    assert nearest([between], [hit(z=32.0)]).bound == "z <= 16"
    assert nearest([between], [hit(z=4.0)]).bound == "z > 8"


def test_yes_and_no_have_no_factor() -> None:
    """A condition that has no ratio is met entirely or not at all."""
    flag = CUSTOM_CODE.model_copy(update={"when": {"files": Comparison(eq=1)}})
    found = nearest([flag], [CODE])
    assert (found.score, found.factor) == (LIMIT, None)
    assert nearest([CUSTOM_CODE], [Evidence("custom-code", "x", {"files": 0.0})]).score == -LIMIT


def test_equal_margins_are_told_in_one_order() -> None:
    """Of equals the first by name is told, whatever the order of the evidence."""
    items = [hit("b", z=4.0), hit("a", z=4.0)]
    assert nearest([PLANTED], items) == nearest([PLANTED], items[::-1])
    assert nearest([PLANTED], items).subject == "a"


def test_evidence_of_another_probe_has_no_slack() -> None:
    """Without evidence that a rule judges, a model has the lowest score."""
    assert rule_slack(PLANTED, CODE) is None
    assert rule_slack(PLANTED, Evidence("trigger-sweep", "x", {"z": 9.0})) is None
    assert nearest([PLANTED], [CODE]) == nearest([], [hit()]) == NOTHING
    assert NOTHING.score == -LIMIT
