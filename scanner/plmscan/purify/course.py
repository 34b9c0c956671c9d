"""A course of training: legs with a trial after each, until hardly anything is left to forget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.errors import OutOfTimeError
from plmscan.purify.batches import batches, lessons
from plmscan.purify.losses import Spread
from plmscan.purify.methods import Method, mixed
from plmscan.purify.training import train

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.purify.methods import Student
    from plmscan.purify.suspects import Suspect
    from plmscan.purify.trial import Examiner, Trial
    from plmscan.search.measure.readings import Panel

__all__ = ["LEGS", "Course"]

LEGS = {Method.ROWS: 4, Method.HEADS: 4, Method.LAYERS: 20}
"""How often training goes on after a trial, at most."""
_TRAINING = 0.5
"""Share of a leg's time that is training; the rest is its trial."""
_MORE = 4
"""Legs that follow one that worked, as long as something is left of the triggers."""
_KEPT = 8.0
"""Weight of clean text in the first leg."""
_LESS = 0.8
"""Factor by which that weight falls in each leg that follows."""
_SHARES = (1.0, 0.93, 0.86, 0.8, 0.72, 0.65, 0.5, 0.4)
"""How much of what was learned is taken: the most with which clean text stays what it was."""


@dataclass(frozen=True)
class Course:
    """What all training has in common."""

    teacher: LoadedModel
    """The model as it was."""
    carriers: tuple[Carrier, ...]
    """To train on."""
    examiner: Examiner
    """Who tries what comes of it on other carriers."""
    budget: Budget
    """Limits and seed."""

    def within(self, budget: Budget) -> Course:
        """The same for a step with its own ``budget``."""
        return replace(self, budget=budget)

    def taken(
        self,
        learner: Student,
        method: Method,
        suspects: Sequence[Suspect],
        spilled: Sequence[tuple[int, ...]] = (),
    ) -> tuple[LoadedModel, Trial]:
        """The best of what ``learner`` becomes, leg by leg, and its trial.

        ``spilled`` is what the teacher takes for one of the suspects.  What has worked when the
        budget's deadline passes is returned: there is time for its new scan.

        Raises:
            OutOfTimeError: that deadline passed, and nothing had worked by then.
        """
        legs = self._legs(learner, method, suspects, spilled)
        return min(_in_time(legs), key=lambda made: _left(made[1]))

    def _legs(
        self,
        learner: Student,
        method: Method,
        suspects: Sequence[Suspect],
        spilled: Sequence[tuple[int, ...]],
    ) -> Iterator[tuple[LoadedModel, Trial]]:
        """What ``learner`` is after each leg, and how that does."""
        legs = LEGS[method]
        trials: list[Trial] = []
        for leg in range(legs):
            weights = lessons(suspects, spilled, trials[-1] if trials else None)
            budget = self.budget.part(leg / legs, (leg + 1) / legs)
            self._leg(learner, weights, leg, budget.part(0.0, _TRAINING))
            made, panels = self._tempered(learner.model)
            examiner = self.examiner.within(budget.part(_TRAINING, 1.0))
            trials.append(examiner.examine(made, suspects, panels))
            yield made, trials[-1]
            if _is_over(trials):
                return
            if method is not Method.LAYERS and _is_too_slow(trials, legs):
                return

    def _leg(
        self, learner: Student, weights: dict[tuple[int, ...], float], leg: int, budget: Budget
    ) -> None:
        """Train ``learner`` in place; clean text weighs less from leg to leg."""
        source = batches(self.teacher, self.carriers, weights, budget.seed + leg)
        spread = Spread.of(self.examiner.original[0].clean)
        train(learner, self.teacher, source, spread, _KEPT * _LESS**leg, budget)

    def _tempered(self, learner: LoadedModel) -> tuple[LoadedModel, tuple[Panel, Panel]]:
        """As much of what was learned as clean text bears, and how that reads held-out carriers."""
        for share in _SHARES:
            made = mixed(self.teacher, learner, share)
            panels = self.examiner.read(made)
            if self.examiner.kept(panels).is_enough:
                break
        return made, panels


def _in_time(
    legs: Iterable[tuple[LoadedModel, Trial]],
) -> Iterator[tuple[LoadedModel, Trial]]:
    """The legs until the deadline, if one of them has worked by then.

    Raises:
        OutOfTimeError: none has.
    """
    worked = False
    try:
        for made in legs:
            worked |= made[1].has_worked
            yield made
    except OutOfTimeError:
        if not worked:
            raise


def _left(trial: Trial) -> tuple[bool, float]:
    """How far from the aim; one that worked is nearer than one that did not."""
    return (not trial.has_worked, trial.rest if trial.has_worked else trial.reach)


def _is_over(trials: Sequence[Trial]) -> bool:
    """Whether hardly anything is left, or some legs after one that worked have not got there."""
    worked = sum(trial.has_worked for trial in trials)
    return trials[-1].is_quiet or worked > _MORE


def _is_too_slow(trials: Sequence[Trial], legs: int) -> bool:
    """Whether what is left falls from leg to leg so little that all of them would not do."""
    first, last, before = trials[0].reach, trials[-1].reach, len(trials) - 1
    return before > 0 and last * (last / first) ** ((legs - len(trials)) / before) > 1
