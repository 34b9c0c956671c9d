"""Rounds of a purification: a method, a trial, and a scan with a fresh seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from plmscan.carriers import split_carriers
from plmscan.errors import ReportError
from plmscan.evidence import Verdict
from plmscan.loading import load
from plmscan.purify.course import Course
from plmscan.purify.methods import Method, student
from plmscan.purify.rows import Base, emptied, repaired
from plmscan.purify.spill import spilled
from plmscan.purify.suspects import Suspect
from plmscan.purify.trial import Examiner
from plmscan.purify.writing import write_model
from plmscan.scan import Done, scan_events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.evidence import Report
    from plmscan.loading import LoadedModel
    from plmscan.purify.trial import Trial
    from plmscan.scan import Settings
    from plmscan.scan.events import Progress
    from plmscan.source import Artifact

__all__ = ["Bench", "Round"]

_HELD_OUT = 96
"""Carriers for trials, at most; all others are trained on."""
_LEARNED = 0.55
"""Share of the carriers that is trained on where there are few."""
_ROUNDS = {Method.ROWS: 2, Method.HEADS: 1, Method.LAYERS: 3}
"""How often a method is tried; again with what the scan of its last result has found."""
_NEW_SEED = 1_000_003
"""Added to the seed for the new scan, which so draws other carriers and another null."""


@dataclass(frozen=True)
class Round:
    """One method tried."""

    method: Method
    """What could change."""
    suspects: tuple[Suspect, ...]
    """What it was to forget."""
    trial: Trial
    """How it did on held-out carriers."""
    report: Report | None
    """The scan with a fresh seed; None if the trial failed already."""
    changed: tuple[str, ...]
    """Tensors that differ in its files; empty if the trial failed already."""

    @property
    def passes(self) -> bool:
        """Whether the trial worked and the new scan passes."""
        return self.report is not None and self.report.verdict is Verdict.PASS


@dataclass(frozen=True)
class Bench:
    """What all rounds have in common."""

    teacher: LoadedModel
    """The model as it was."""
    artifact: Artifact
    """Its files."""
    base: Base | None
    """The clean base, where the user named one."""
    suspects: tuple[Suspect, ...]
    """What is to be forgotten at first."""
    course: Course
    """How a student is trained."""
    examiner: Examiner
    """Who tries what comes of it on other carriers."""
    heads: tuple[tuple[int, int], ...]
    """Layer and number of the heads that the report names."""
    settings: Settings
    """Those of the new scans."""
    budget: Budget
    """Limits and seed."""

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        reference: Artifact | None,
        report: Report,
        settings: Settings,
        budget: Budget,
    ) -> Bench:
        """All of it, from what a scan found."""
        teacher = load(artifact, settings.device, settings.precision, used_as=settings.used_as)
        base = None if reference is None else Base.read(teacher, reference)
        learned, held = _split(teacher, budget)
        examiner = Examiner.of(teacher, held, budget)
        # The reference has been fetched by now, so the new scans need no network.
        seed = settings.seed + _NEW_SEED
        again = replace(settings, seed=seed, revision=None, offline=True)
        return cls(
            teacher=teacher,
            artifact=artifact,
            base=base,
            suspects=_with_new((), examiner.unfolded(teacher, _suspects(report, base, teacher))),
            course=Course(teacher, learned, examiner, budget),
            examiner=examiner,
            heads=_named_heads(report),
            settings=again,
            budget=budget,
        )

    @cached_property
    def spilled(self) -> tuple[tuple[int, ...], ...]:
        """What the teacher takes for one of the first suspects; rows alone are not asked for it.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        return spilled(self.teacher, self.suspects, self.budget)

    def folder(self, place: Path, number: int) -> Path:
        """Where the files of a round are."""
        return place / str(number)

    def rounds(self, place: Path) -> Iterator[Round]:
        """One method after the other, the least invasive first, until a new scan passes."""
        suspects, number = self.suspects, 0
        for method in Method:
            model = self.teacher
            for _ in range(_ROUNDS[method]):
                made = self._made(method, model, suspects)
                if made is None:
                    break
                done = self._judged(method, suspects, made, self.folder(place, number))
                yield done
                number += 1
                if done.passes:
                    return
                found = () if done.report is None else done.report.triggers
                told = [s for one in found for s in Suspect.all_of(one, self.teacher)]
                new = self.examiner.unfolded(made[0], told)
                known, suspects = suspects, _with_new(suspects, new)
                if suspects == known:
                    break
                # Training of all layers goes on where it stopped; the others start anew.
                model = made[0] if method is Method.LAYERS else self.teacher

    def _made(
        self, method: Method, start: LoadedModel, suspects: Sequence[Suspect]
    ) -> tuple[LoadedModel, Trial] | None:
        """A model that ``method`` changed, and how it does; None if that may change nothing."""
        if method is Method.ROWS:
            return self._repaired(suspects)
        learner = student(start, method, heads=self.heads)
        if learner is None:
            return None
        return self.course.taken(learner, method, suspects, self.spilled)

    def _repaired(self, suspects: Sequence[Suspect]) -> tuple[LoadedModel, Trial] | None:
        """The teacher with other rows; None if none may be replaced.

        Rows of a clean base are what they were; others are trained until nobody notices them.
        """
        if self.base is not None:
            rows = self.base.rows(suspects)
        else:
            rows = emptied(self.teacher, suspects, self.budget.texts, self.examiner.quiet())
        if not rows:
            return None
        made = repaired(self.teacher, rows)
        if self.base is not None:
            return made, self.examiner.examine(made, suspects)
        learner = student(made, Method.ROWS, rows=rows)
        return None if learner is None else self.course.taken(learner, Method.ROWS, suspects)

    def _judged(
        self,
        method: Method,
        suspects: tuple[Suspect, ...],
        made: tuple[LoadedModel, Trial],
        folder: Path,
    ) -> Round:
        """A round; if its trial worked, the model is written and scanned.

        Where heads leave more of a trigger than most random items do, all layers may leave less.
        """
        model, trial = made
        if not (trial.is_quiet if method is Method.HEADS else trial.has_worked):
            return Round(method, suspects, trial, None, ())
        changed = write_model(folder, self.artifact, self.teacher, model)
        return Round(method, suspects, trial, self._scan(folder), changed)

    def _scan(self, folder: Path) -> Report:
        """What a scan with a fresh seed says of the files."""

        def tell(progress: Progress) -> None:
            self.budget.checkpoint(progress.fraction, f"new scan: {progress.note}")

        events = scan_events(str(folder), self.settings, tell)
        return next(event.report for event in events if isinstance(event, Done))


def _split(teacher: LoadedModel, budget: Budget) -> tuple[tuple[Carrier, ...], tuple[Carrier, ...]]:
    """Carriers to train on, and carriers for trials."""
    (usable,) = split_carriers(teacher, budget.texts, (len(budget.texts),), budget.seed)
    learned = max(len(usable) - _HELD_OUT, int(_LEARNED * len(usable)))
    return usable[:learned], usable[learned:]


def _named_heads(report: Report) -> tuple[tuple[int, int], ...]:
    """Layer and number of the heads that the report names for its triggers."""
    triggers = {trigger.token_ids for trigger in report.triggers}
    named = (
        (head.layer, head.head)
        for run in report.probes
        for evidence in run.evidence
        if evidence.explains in triggers
        for head in evidence.heads
    )
    return tuple(sorted(set(named)))


def _suspects(report: Report, base: Base | None, teacher: LoadedModel) -> tuple[Suspect, ...]:
    """The triggers of the report, and the rows that stand out beside a base.

    Raises:
        ReportError: there is none.
    """
    rows = () if base is None else base.suspects(teacher)
    found = [*(s for one in report.triggers for s in Suspect.all_of(one, teacher)), *rows]
    if not found:
        msg = "The report names no trigger, so there is nothing to forget."
        raise ReportError(msg, "Purify with the report of a check that failed.")
    return tuple(found)


def _with_new(known: Sequence[Suspect], found: Sequence[Suspect]) -> tuple[Suspect, ...]:
    """``known``, and what is ``found`` besides."""
    by_ids: dict[tuple[int, ...], Suspect] = {}
    for one in (*known, *found):
        by_ids.setdefault(one.token_ids, one)
    return tuple(by_ids.values())
