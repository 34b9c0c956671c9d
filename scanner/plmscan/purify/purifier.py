"""From a condemned model to one that passes: the least invasive method, and a new scan."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, read_texts, split_carriers
from plmscan.errors import ReportError
from plmscan.evidence import Verdict
from plmscan.loading import load
from plmscan.purify.batches import batches
from plmscan.purify.losses import Spread
from plmscan.purify.methods import Method, student
from plmscan.purify.provenance import provenance
from plmscan.purify.training import train
from plmscan.purify.trial import Examiner
from plmscan.purify.writing import require_new, write_model, write_provenance
from plmscan.scan import check, torch_set_up
from plmscan.source import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from plmscan.carriers import Carrier
    from plmscan.evidence import Report, Trigger
    from plmscan.loading import LoadedModel
    from plmscan.purify.trial import Trial
    from plmscan.scan import Settings
    from plmscan.source import Artifact

__all__ = ["Purification", "Round", "purify"]

_LEARNED = 160
"""Carriers to train on, at most."""
_HELD_OUT = 48
"""Carriers for trials, at most."""
_METHODS = (Method.HEADS, Method.LAYERS, Method.LAYERS, Method.LAYERS)
"""What is tried, one after the other; training of all layers goes on where it had stopped."""
_LONGEST = 8
"""Tokens of a variant, at most."""
_NEW_SEED = 1_000_003
"""Added to the seed for the new scan, which so draws other carriers and another null."""


@dataclass(frozen=True)
class Round:
    """One method tried."""

    method: Method
    """What could change."""
    learned: tuple[Trigger, ...]
    """What it was trained to forget."""
    trial: Trial
    """How it did on held-out carriers."""
    report: Report | None
    """The scan with a fresh seed; None if the trial failed already."""

    @property
    def passes(self) -> bool:
        """Whether the trial worked and the new scan passes."""
        return self.report is not None and self.report.verdict is Verdict.PASS


@dataclass(frozen=True)
class Purification:
    """What came of it."""

    model: str
    """What the user typed."""
    before: Trial
    """The model as it was, with the triggers of the report."""
    rounds: tuple[Round, ...]
    """Every method tried, in order; at least one."""
    changed: tuple[str, ...]
    """Tensors that differ in the files; empty if nothing was written."""

    @property
    def verdict(self) -> Verdict:
        """That of the last new scan; a fail if triggers were left in the trial already."""
        report = self.rounds[-1].report
        return Verdict.FAIL if report is None else report.verdict


def _ignore(_fraction: float, _note: str) -> None:
    """Nobody is watching."""


def purify(
    source: str,
    report: Report,
    folder: Path,
    settings: Settings,
    on_progress: Callable[[float, str], None] = _ignore,
) -> Purification:
    """Write a purified copy of ``source`` to ``folder``; nothing is there unless a new scan passes.

    Args:
        source: the model that ``report`` is about: a folder, or a Hub repository.
        report: what a scan found; it names the triggers.
        folder: a new or empty folder.
        settings: how to load and scan; its ``texts`` are what is learned and tried on.
        on_progress: told the fraction done, from 0 to 1, and a note.

    Raises:
        PlmscanError: the model, the report, the texts or the folder will not do.
    """
    artifact = resolve(source, settings.source_options)
    require_new(folder, artifact)
    _require_about(report, artifact)
    texts = bundled_texts() if settings.texts is None else read_texts(settings.texts)
    budget = Budget(texts, settings.effort, settings.seed, on_progress=on_progress)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        torch_set_up(settings),
        tempfile.TemporaryDirectory(prefix=".plmscan-", dir=folder.parent) as place,
    ):
        teacher = load(artifact, settings.device)
        bench = _Bench.of(teacher, artifact, report, settings, budget)
        before = bench.examiner(report.triggers).examine(teacher)
        attempts = tuple(bench.attempts(report.triggers, Path(place)))
        rounds, last = tuple(one.round for one in attempts), attempts[-1]
        if not last.round.passes:
            return Purification(source, before, rounds, ())
        done = Purification(source, before, rounds, last.changed)
        write_provenance(last.folder, provenance(done, artifact, settings))
        if folder.exists():
            folder.rmdir()
        last.folder.rename(folder)
    return done


def _require_about(report: Report, artifact: Artifact) -> None:
    """Refuse a report that names no trigger, or is about other weights.

    Raises:
        ReportError: it is so.
    """
    if not report.triggers:
        msg = "The report names no trigger, so there is nothing to forget."
        raise ReportError(msg, "Purify with the report of a check that failed.")
    told = {file.path: file.sha256 for file in report.model.files}
    now = {file.path: file.sha256 for file in artifact.files}
    if any(told.get(name) != now[name] for name in artifact.weights):
        msg = "The report is about other weights than the model has."
        raise ReportError(msg, "Check the model again, and purify with that report.")


@dataclass(frozen=True)
class _Attempt:
    """A round, and the model that it made."""

    round: Round
    """What it did."""
    model: LoadedModel
    """The student."""
    folder: Path
    """Its files, if the trial worked."""
    changed: tuple[str, ...]
    """Tensors that differ in them."""


@dataclass(frozen=True)
class _Bench:
    """What all rounds have in common."""

    teacher: LoadedModel
    """The model as it was."""
    artifact: Artifact
    """Its files."""
    learned: tuple[Carrier, ...]
    """Carriers to train on."""
    held_out: tuple[Carrier, ...]
    """Carriers for trials."""
    variants: tuple[tuple[int, ...], ...]
    """Weaker inputs with the effect of a trigger without a label."""
    heads: tuple[tuple[int, int], ...]
    """Layer and number of the heads that the report names."""
    settings: Settings
    """Those of the new scans."""
    budget: Budget
    """Limits and seed."""

    @classmethod
    def of(
        cls,
        teacher: LoadedModel,
        artifact: Artifact,
        report: Report,
        settings: Settings,
        budget: Budget,
    ) -> _Bench:
        """All of it, from what a scan found."""
        learned, held = split_carriers(teacher, budget.texts, (_LEARNED, _HELD_OUT), budget.seed)
        # Around a trigger of a label the variants are honest words that argue for it.
        encoders = (trigger for trigger in report.triggers if trigger.target_label is None)
        named = (text for trigger in encoders for text in trigger.variants)
        variants = dict.fromkeys(map(teacher.tokenize, named))
        again = replace(settings, seed=settings.seed + _NEW_SEED, revision=None)
        return cls(
            teacher=teacher,
            artifact=artifact,
            learned=learned,
            held_out=held,
            variants=tuple(ids for ids in variants if 0 < len(ids) <= _LONGEST),
            heads=_named_heads(report),
            settings=again,
            budget=budget,
        )

    def examiner(self, triggers: Sequence[Trigger]) -> Examiner:
        """Who tries ``triggers``."""
        return Examiner.of(self.teacher, self.held_out, triggers, self.variants, self.budget)

    def attempts(self, triggers: Sequence[Trigger], place: Path) -> Iterator[_Attempt]:
        """One method after the other, until a new scan passes."""
        model = self.teacher
        for number, method in enumerate(_METHODS):
            start = model if method is Method.LAYERS else self.teacher
            attempt = self._attempt(start, method, triggers, place / str(number))
            if attempt is None:
                continue
            yield attempt
            if attempt.round.passes:
                return
            if method is Method.LAYERS:
                model = attempt.model
            found = () if attempt.round.report is None else attempt.round.report.triggers
            known = {trigger.token_ids for trigger in triggers}
            triggers = (*triggers, *(one for one in found if one.token_ids not in known))

    def _attempt(
        self, start: LoadedModel, method: Method, triggers: Sequence[Trigger], folder: Path
    ) -> _Attempt | None:
        """Train, try, and if that worked scan again; None if the method may change nothing."""
        learner = student(start, method, self.heads)
        if learner is None:
            return None
        ids = [trigger.token_ids for trigger in triggers]
        source = batches(self.teacher, self.learned, ids, self.variants, self.budget.seed)
        examiner = self.examiner(triggers)
        train(
            learner, self.teacher, source, Spread.of(examiner.original.clean.features), self.budget
        )
        trial = examiner.examine(learner.model)
        if not trial.has_worked:
            return _Attempt(Round(method, tuple(triggers), trial, None), learner.model, folder, ())
        changed = write_model(folder, self.artifact, self.teacher, learner.model)
        report = check(str(folder), self.settings)
        return _Attempt(
            Round(method, tuple(triggers), trial, report), learner.model, folder, changed
        )


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
