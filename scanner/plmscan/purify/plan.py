"""What a purification takes, step by step: told before it begins, and the scale of its progress.

All that may happen stands in the plan, in order and as long as it can last.  What works at once
leaves the rest out, so the fraction done jumps forward; it never falls.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from plmscan.budget import Budget
from plmscan.errors import OutOfTimeError
from plmscan.purify.batches import batches, lessons
from plmscan.purify.course import LEGS
from plmscan.purify.losses import Spread
from plmscan.purify.methods import Method, student
from plmscan.purify.suspects import variants_of
from plmscan.purify.training import STEPS, train
from plmscan.purify.trial import texts_of
from plmscan.scan.estimate import estimated
from plmscan.scan.events import Estimated
from plmscan.search.measure.readings import Panel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.purify.suspects import Suspect

__all__ = ["PREPARING", "ROUNDS", "SPILL", "Cost", "Plan", "course_of", "scan_of", "stretch"]

ROUNDS = {Method.ROWS: 2, Method.HEADS: 1, Method.LAYERS: 3}
"""How often a method is tried; again with what the scan of its last result has found."""
PREPARING, SPILL = "preparing", "spill"
"""Names of the steps that belong to no method."""

_USUAL_LEGS = 8
"""Legs of training in all, as they were measured on MiniLM."""
_SHORTEST = 4
"""Tokens of a text that holds one item only."""
_TIMED = 2
"""Steps of training that are timed, after one that warms up."""
_SURE = 1.5
"""Times the estimate of a scan that are kept for it."""


@dataclass(frozen=True)
class Cost:
    """What a step takes."""

    tokens: float = 0.0
    """Forward-token-equivalents."""
    seconds: float = 0.0
    """On this machine as it is now."""

    def __add__(self, other: Cost) -> Cost:
        """One after the other."""
        return Cost(self.tokens + other.tokens, self.seconds + other.seconds)

    def __mul__(self, times: float) -> Cost:
        """Several times the same."""
        return Cost(self.tokens * times, self.seconds * times)


@dataclass(frozen=True)
class Plan:
    """All that may happen."""

    steps: Mapping[str, Cost]
    """What each step takes at most, by name and in order."""
    usual: Cost
    """What all takes where the first result that is scanned passes."""
    scan: Cost
    """One new scan."""

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        learned: Sequence[Carrier],
        held: Sequence[Carrier],
        suspects: Sequence[Suspect],
        methods: Collection[Method],
        budget: Budget,
    ) -> Plan:
        """Of training on ``learned`` and trials on ``held``; takes a moment itself."""
        told = estimated(model, budget)
        scan = Cost(told.tokens, told.seconds)
        token = Cost(1.0, told.seconds / told.tokens)
        long = sum(len(model.wrap(one.ids)) for one in held) / len(held) + 1
        asked = len(suspects) + len(variants_of(suspects))
        trial, null = (token * (long * texts) for texts in texts_of(asked, len(held)))
        leg = _step(model, learned, suspects, budget) * STEPS + trial + null
        preparing = null + trial * (2.0 if variants_of(suspects) else 1.0)
        # Of triggers of a label, nobody asks what else leads to it.
        spills = any(one.label is None for one in suspects)
        spill = token * (model.vocabulary_size * _SHORTEST * spills)
        courses = {method: leg * LEGS[method] for method in methods}
        return cls(
            dict(_steps(courses, preparing, spill, scan)),
            preparing + spill + leg * _USUAL_LEGS + scan,
            scan,
        )

    @property
    def estimate(self) -> Estimated:
        """The same for a person."""
        most = sum(step.seconds for step in self.steps.values())
        return Estimated(round(self.usual.tokens), self.usual.seconds, "purifying", most)

    def within(self, budget: Budget, name: str) -> Budget:
        """The limits of a step, whose progress is a stretch of that of all steps."""
        seconds = {step: cost.seconds for step, cost in self.steps.items()}
        return budget.part(*stretch(seconds, name))

    def before_scan(self, budget: Budget) -> Budget:
        """The same limits for training, with a deadline that leaves the time of a new scan.

        Raises:
            OutOfTimeError: the time is not enough for such a scan alone.
        """
        if budget.deadline is None:
            return budget
        deadline = budget.deadline - _SURE * self.scan.seconds
        if deadline <= time.monotonic():
            takes = f"about {self.scan.seconds:.0f} s"
            msg = f"The time limit is too short: the new scan of a result alone takes {takes}."
            raise OutOfTimeError(msg, "Give more with --time-limit.")
        return replace(budget, deadline=deadline)


def stretch(seconds: Mapping[str, float], name: str) -> tuple[float, float]:
    """Where a step begins and ends if all take their ``seconds``, from 0 to 1.

    One that is not among them takes no time at all, at the start.
    """
    if not seconds.get(name):
        return 0.0, 0.0
    names, total = list(seconds), sum(seconds.values())
    before = sum(seconds[one] for one in names[: names.index(name)])
    return before / total, (before + seconds[name]) / total


def course_of(method: Method, again: int) -> str:
    """The name of a course of training: the first, the next with ``again`` 1."""
    return f"{method} {again}"


def scan_of(method: Method, again: int) -> str:
    """The name of the new scan of what came of it."""
    return f"scan of {course_of(method, again)}"


def _steps(
    courses: Mapping[Method, Cost], preparing: Cost, spill: Cost, scan: Cost
) -> Iterator[tuple[str, Cost]]:
    """Every step that may come."""
    yield PREPARING, preparing
    yield SPILL, spill
    for method, course in courses.items():
        for again in range(ROUNDS[method]):
            yield course_of(method, again), course
            yield scan_of(method, again), scan


def _step(
    model: LoadedModel, carriers: Sequence[Carrier], suspects: Sequence[Suspect], budget: Budget
) -> Cost:
    """A step of training, measured on a copy of ``model``."""
    learner = student(model, Method.LAYERS)
    if learner is None:
        return Cost()
    unwatched = Budget(budget.texts, seed=budget.seed, deadline=budget.deadline)
    source = batches(model, carriers, lessons(suspects), budget.seed)
    spread = Spread.of(Panel.of(model, carriers[:_TIMED]).clean)
    train(learner, model, islice(source, 1), spread, 1.0, unwatched)
    before, began = model.forward_tokens + learner.model.forward_tokens, time.perf_counter()
    train(learner, model, islice(source, _TIMED), spread, 1.0, unwatched)
    after = model.forward_tokens + learner.model.forward_tokens
    return Cost(after - before, time.perf_counter() - began) * (1 / _TIMED)
