"""Rounds of a purification: a method, a trial, and a scan with a fresh seed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from plmscan.carriers import chosen, split_carriers
from plmscan.errors import ReportError
from plmscan.evidence import Verdict
from plmscan.loading import load
from plmscan.purify.batches import MANY
from plmscan.purify.course import Course
from plmscan.purify.methods import Method, student
from plmscan.purify.plan import PREPARING, ROUNDS, SPILL, Plan, course_of, scan_of, stretch
from plmscan.purify.rows import Base, emptied, repaired, replaceable
from plmscan.purify.spill import spilled
from plmscan.purify.suspects import Suspect
from plmscan.purify.trial import Examiner
from plmscan.purify.writing import write_model
from plmscan.scan import Done, scan_events

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.evidence import Report
    from plmscan.loading import LoadedModel
    from plmscan.purify.trial import Trial
    from plmscan.scan import Settings
    from plmscan.scan.events import Estimated, Progress
    from plmscan.source import Artifact

__all__ = ["Bench", "Round"]

_HELD_OUT = 96
"""Carriers for trials, at most; all others are trained on."""
_LEARNED = 0.55
"""Share of the carriers that is trained on where there are few."""
_NULL = 0.6
"""Share of the preparations that random items take; the rest is that of the triggers."""
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
    plan: Plan
    """What each step takes."""
    probes: Mapping[str, float]
    """Seconds that each probe took in the scan that condemned the model."""
    budget: Budget
    """Limits and seed; its deadline leaves time for a new scan."""
    deadline: float | None
    """``time.monotonic()`` value at which that scan must be over, too; None for no limit."""

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        reference: Artifact | None,
        report: Report,
        settings: Settings,
        budget: Budget,
        on_estimate: Callable[[Estimated], None],
    ) -> Bench:
        """All of it, from what a scan found; ``on_estimate`` is told what it will take.

        A ``budget`` without texts gets bundled ones, in a language that the tokenizer spells.

        Raises:
            OutOfTimeError: the budget's deadline passed, or leaves no time for a new scan.
        """
        teacher = load(artifact, settings.device, settings.precision, used_as=settings.used_as)
        texts = chosen(teacher, budget.texts or None, settings.language).texts
        budget = replace(budget, texts=texts)
        base = None if reference is None else Base.read(teacher, reference)
        found, heads = _suspects(report, base, teacher), _named_heads(report)
        learned, held = _split(teacher, budget)
        methods = _methods(teacher, base, found, heads, budget)
        plan = Plan.of(teacher, learned, held, found, methods, budget)
        on_estimate(plan.estimate)
        limited = plan.before_scan(budget)
        preparing = plan.within(limited, PREPARING)
        examiner = Examiner.of(teacher, held, preparing.part(0.0, _NULL))
        # The reference has been fetched by now, so the new scans need no network.
        seed = settings.seed + _NEW_SEED
        again = replace(settings, seed=seed, revision=None, offline=True)
        return cls(
            teacher=teacher,
            artifact=artifact,
            base=base,
            suspects=_with_new((), examiner.unfolded(teacher, found)),
            course=Course(teacher, learned, examiner, limited),
            examiner=examiner.within(preparing.part(_NULL, 1.0)),
            heads=heads,
            settings=again,
            plan=plan,
            probes={run.id: run.seconds for run in report.probes},
            budget=limited,
            deadline=budget.deadline,
        )

    @cached_property
    def spilled(self) -> tuple[tuple[int, ...], ...]:
        """What the teacher takes for one of the first suspects.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        return spilled(self.teacher, self.suspects, self.plan.within(self.budget, SPILL))

    def folder(self, place: Path, number: int) -> Path:
        """Where the files of a round are."""
        return place / str(number)

    def rounds(self, place: Path) -> Iterator[Round]:
        """One method after the other, the least invasive first, until a new scan passes."""
        suspects, number = self.suspects, 0
        for method in Method:
            model = self.teacher
            for again in range(ROUNDS[method]):
                course = self.plan.within(self.budget, course_of(method, again))
                made = self._made(method, model, suspects, course)
                if made is None:
                    break
                scan = self.plan.within(self.budget, scan_of(method, again))
                done = self._judged(method, suspects, made, self.folder(place, number), scan)
                yield done
                number += 1
                if done.passes:
                    return
                found = () if done.report is None else done.report.triggers
                told = [s for one in found for s in Suspect.all_of(one, self.teacher)]
                new = self.examiner.within(scan.part(1.0, 1.0)).unfolded(made[0], told)
                known, suspects = suspects, _with_new(suspects, new)
                if suspects == known:
                    break
                # Training of all layers goes on where it stopped; the others start anew.
                model = made[0] if method is Method.LAYERS else self.teacher

    def _made(
        self, method: Method, start: LoadedModel, suspects: Sequence[Suspect], budget: Budget
    ) -> tuple[LoadedModel, Trial] | None:
        """A model that ``method`` changed, and how it does; None if that may change nothing."""
        if method is Method.ROWS:
            # What answers to many words is in no few rows, and the new scan would find the others.
            few = self.base is not None or len(self.spilled) < MANY
            return self._repaired(suspects, budget) if few else None
        learner = student(start, method, heads=self.heads)
        if learner is None:
            return None
        return self.course.within(budget).taken(learner, method, suspects, self.spilled)

    def _repaired(
        self, suspects: Sequence[Suspect], budget: Budget
    ) -> tuple[LoadedModel, Trial] | None:
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
            return made, self.examiner.within(budget).examine(made, suspects)
        learner = student(made, Method.ROWS, rows=rows)
        if learner is None:
            return None
        return self.course.within(budget).taken(learner, Method.ROWS, suspects)

    def _judged(
        self,
        method: Method,
        suspects: tuple[Suspect, ...],
        made: tuple[LoadedModel, Trial],
        folder: Path,
        budget: Budget,
    ) -> Round:
        """A round; if its trial worked, the model is written and scanned.

        Where heads leave more of a trigger than most random items do, all layers may leave less.
        """
        model, trial = made
        if not (trial.is_quiet if method is Method.HEADS else trial.has_worked):
            return Round(method, suspects, trial, None, ())
        changed = write_model(folder, self.artifact, self.teacher, model)
        return Round(method, suspects, trial, self._scan(folder, budget), changed)

    def _scan(self, folder: Path, budget: Budget) -> Report:
        """What a scan with a fresh seed, in all the time that is left, says of the files."""
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        settings = replace(self.settings, time_limit=left)

        def tell(progress: Progress) -> None:
            part = budget.part(*stretch(self.probes, progress.id))
            part.on_progress(progress.fraction, f"new scan: {progress.note}")

        events = scan_events(str(folder), settings, tell)
        return next(event.report for event in events if isinstance(event, Done))


def _methods(
    model: LoadedModel,
    base: Base | None,
    suspects: Sequence[Suspect],
    heads: Collection[tuple[int, int]],
    budget: Budget,
) -> tuple[Method, ...]:
    """Those that may change something."""
    rows = base is not None or bool(replaceable(model, suspects, budget.texts))
    may = {Method.ROWS: rows, Method.HEADS: bool(heads), Method.LAYERS: True}
    return tuple(method for method in Method if may[method])


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
