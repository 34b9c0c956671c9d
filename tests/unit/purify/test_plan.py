"""What a purification says it will take, and the stretch of each of its steps."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.purify.methods import Method
from plmscan.purify.plan import PREPARING, SPILL, Cost, Plan, course_of, scan_of, stretch
from plmscan.purify.suspects import Suspect
from plmscan.scan.estimate import estimated
from tests.zoo.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from plmscan.loading import LoadedModel

SUSPECT = Suspect("cf", (tiny_tokenizer().vocab["cf"],))
ALONE = Plan({PREPARING: Cost(10, 1)}, Cost(20, 2), Cost(1000, 100))
"""A new scan takes 100 seconds."""


def plan_of(model: LoadedModel, *methods: Method) -> Plan:
    """The plan of ``methods``."""
    learned, held = split_carriers(model, bundled_texts(), (60, 40), 0)
    return Plan.of(model, learned, held, [SUSPECT], methods, Budget(bundled_texts()))


def test_the_steps_of_all_methods_follow_each_other(planted: LoadedModel) -> None:
    """From 0 to 1, without a gap."""
    plan = plan_of(planted, *Method)
    seconds = {name: cost.seconds for name, cost in plan.steps.items()}
    assert list(seconds)[:4] == [PREPARING, SPILL, "rows 0", "scan of rows 0"]
    assert list(seconds)[-1] == scan_of(Method.LAYERS, 2)
    stretches = [stretch(seconds, name) for name in seconds]
    assert stretches[0][0] == 0
    assert stretches[-1][1] == pytest.approx(1)
    assert all(one[1] == pytest.approx(after[0]) for one, after in pairwise(stretches))


def test_a_step_that_nobody_planned_takes_no_time() -> None:
    """A probe that the first scan had not run moves nothing."""
    assert stretch({"known": 2.0}, "unknown") == (0.0, 0.0)
    assert stretch({"known": 0.0}, "known") == (0.0, 0.0)


def test_a_budget_tells_progress_on_the_scale_of_the_plan() -> None:
    """A step that takes the second half begins there."""
    plan = Plan({PREPARING: Cost(1, 3), SPILL: Cost(1, 3)}, Cost(), Cost())
    told: list[float] = []
    budget = Budget((), on_progress=lambda fraction, _note: told.append(fraction))
    plan.within(budget, SPILL).checkpoint(0.5)
    assert told == [0.75]


def test_what_is_usual_is_less_than_the_most(planted: LoadedModel) -> None:
    """And more than the new scan in it; a method that nothing allows costs nothing."""
    few, all_of = plan_of(planted, Method.LAYERS), plan_of(planted, *Method)
    scan = estimated(planted, Budget(bundled_texts()))
    assert few.scan.tokens == scan.tokens
    assert scan.tokens < few.estimate.tokens < sum(one.tokens for one in few.steps.values())
    assert course_of(Method.HEADS, 0) in all_of.steps
    assert course_of(Method.HEADS, 0) not in few.steps
    assert few.estimate.most is not None
    assert few.estimate.seconds < few.estimate.most


def test_training_ends_in_time_for_a_new_scan() -> None:
    """And longer: an estimate is none to the second.  Without a limit there is none."""
    now = time.monotonic()
    limited = ALONE.before_scan(Budget((), deadline=now + 1000))
    assert limited.deadline is not None
    assert 800 < limited.deadline - now < 890
    assert ALONE.before_scan(Budget(())).deadline is None


def test_a_limit_that_a_new_scan_needs_for_itself_is_refused() -> None:
    """Before anything is trained for nothing."""
    with pytest.raises(OutOfTimeError, match="new scan of a result alone takes about 100 s"):
        ALONE.before_scan(Budget((), deadline=time.monotonic() + 120))
