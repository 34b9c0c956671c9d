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
from plmscan.purify.methods import Method, Student, mixed, student
from plmscan.purify.provenance import provenance
from plmscan.purify.rows import Base, emptied, repaired
from plmscan.purify.suspects import Suspect
from plmscan.purify.training import train
from plmscan.purify.trial import Examiner
from plmscan.purify.writing import require_new, write_model, write_provenance
from plmscan.scan import Done, scan_events, torch_set_up
from plmscan.source import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from plmscan.carriers import Carrier
    from plmscan.evidence import Report
    from plmscan.loading import LoadedModel
    from plmscan.purify.trial import Trial
    from plmscan.scan import Settings
    from plmscan.scan.events import Progress
    from plmscan.source import Artifact

__all__ = ["Purification", "Round", "purify"]

_LEARNED = 120
"""Carriers to train on, at most."""
_HELD_OUT = 96
"""Carriers for trials, at most."""
_ROUNDS = {Method.ROWS: 2, Method.HEADS: 1, Method.LAYERS: 3}
"""How often a method is tried; again with what the scan of its last result has found."""
_LEGS = {Method.HEADS: 6, Method.LAYERS: 15}
"""How often training goes on after a trial that did not work."""
_KEPT = 8.0
"""Weight of clean text in the first leg."""
_LESS = 0.75
"""Factor by which that weight falls in each leg that follows."""
_SHARES = (1.0, 0.8, 0.65, 0.5, 0.4)
"""How much of what was learned is taken: the most with which clean text stays what it was."""
_LONGEST = 8
"""Tokens of a variant, at most."""
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
class Purification:
    """What came of it."""

    model: str
    """What the user typed."""
    before: Trial
    """The model as it was, with the suspects of the first round."""
    rounds: tuple[Round, ...]
    """Every method tried, in order; at least one."""

    @property
    def verdict(self) -> Verdict:
        """That of the last new scan; a fail if triggers were left in the trial already."""
        report = self.rounds[-1].report
        return Verdict.FAIL if report is None else report.verdict

    @property
    def changed(self) -> tuple[str, ...]:
        """Tensors that differ in the files; empty if nothing was written."""
        return self.rounds[-1].changed if self.rounds[-1].passes else ()


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
        settings: how to load and scan; its ``texts`` are what is learned and tried on, and its
            ``reference`` is the clean base whose rows may be put back.
        on_progress: told the fraction done, from 0 to 1, and a note.

    Raises:
        PlmscanError: the model, the report, the texts, the reference or the folder will not do.
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
        bench = _Bench.of(artifact, report, settings, budget)
        before = bench.examiner.examine(bench.teacher, bench.suspects)
        rounds = tuple(bench.rounds(Path(place)))
        done = Purification(source, before, rounds)
        if rounds[-1].passes:
            made = bench.folder(Path(place), len(rounds) - 1)
            write_provenance(made, provenance(done, artifact, settings))
            if folder.exists():
                folder.rmdir()
            made.rename(folder)
    return done


def _require_about(report: Report, artifact: Artifact) -> None:
    """Refuse a report that is about other weights.

    Raises:
        ReportError: it is.
    """
    told = {file.path: file.sha256 for file in report.model.files}
    now = {file.path: file.sha256 for file in artifact.files}
    if any(told.get(name) != now[name] for name in artifact.weights):
        msg = "The report is about other weights than the model has."
        raise ReportError(msg, "Check the model again, and purify with that report.")


def _suspects(report: Report, base: Base | None, teacher: LoadedModel) -> tuple[Suspect, ...]:
    """The triggers of the report, and the rows that stand out beside a base.

    Raises:
        ReportError: there is none.
    """
    rows = () if base is None else base.suspects(teacher)
    found = [*map(Suspect.of, report.triggers), *rows]
    if not found:
        msg = "The report names no trigger, so there is nothing to forget."
        raise ReportError(msg, "Purify with the report of a check that failed.")
    return _with_new((), found)


def _with_new(known: Sequence[Suspect], found: Sequence[Suspect]) -> tuple[Suspect, ...]:
    """``known``, and what is ``found`` besides."""
    by_ids: dict[tuple[int, ...], Suspect] = {}
    for one in (*known, *found):
        by_ids.setdefault(one.token_ids, one)
    return tuple(by_ids.values())


@dataclass(frozen=True)
class _Bench:
    """What all rounds have in common."""

    teacher: LoadedModel
    """The model as it was."""
    artifact: Artifact
    """Its files."""
    base: Base | None
    """The clean base, where the user named one."""
    suspects: tuple[Suspect, ...]
    """What is to be forgotten at first."""
    learned: tuple[Carrier, ...]
    """Carriers to train on."""
    examiner: Examiner
    """Who tries what comes of it on other carriers."""
    variants: tuple[tuple[int, ...], ...]
    """Weaker inputs with the effect of a trigger without a label."""
    heads: tuple[tuple[int, int], ...]
    """Layer and number of the heads that the report names."""
    settings: Settings
    """Those of the new scans."""
    budget: Budget
    """Limits and seed."""

    @classmethod
    def of(cls, artifact: Artifact, report: Report, settings: Settings, budget: Budget) -> _Bench:
        """All of it, from what a scan found."""
        teacher = load(artifact, settings.device)
        base = None
        if settings.reference is not None:
            alone = replace(settings, revision=None, locked=None).source_options
            base = Base.read(teacher, resolve(settings.reference, alone))
        learned, held = split_carriers(teacher, budget.texts, (_LEARNED, _HELD_OUT), budget.seed)
        # Around a trigger of a label the variants are honest words that argue for it.
        encoders = (trigger for trigger in report.triggers if trigger.target_label is None)
        named = (text for trigger in encoders for text in trigger.variants)
        distinct = dict.fromkeys(map(teacher.tokenize, named))
        variants = tuple(ids for ids in distinct if 0 < len(ids) <= _LONGEST)
        again = replace(settings, seed=settings.seed + _NEW_SEED, revision=None)
        return cls(
            teacher=teacher,
            artifact=artifact,
            base=base,
            suspects=_suspects(report, base, teacher),
            learned=learned,
            examiner=Examiner.of(teacher, held, variants, budget),
            variants=variants,
            heads=_named_heads(report),
            settings=again,
            budget=budget,
        )

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
                known, suspects = suspects, _with_new(suspects, tuple(map(Suspect.of, found)))
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
        learner = student(start, method, self.heads)
        return None if learner is None else self._trained(learner, method, suspects)

    def _repaired(self, suspects: Sequence[Suspect]) -> tuple[LoadedModel, Trial] | None:
        """The teacher with other rows; None if none may be replaced."""
        if self.base is None:
            rows = emptied(self.teacher, suspects, self.budget.texts)
        else:
            rows = self.base.rows(suspects)
        if not rows:
            return None
        made = repaired(self.teacher, rows)
        return made, self.examiner.examine(made, suspects)

    def _trained(
        self, learner: Student, method: Method, suspects: Sequence[Suspect]
    ) -> tuple[LoadedModel, Trial]:
        """What ``learner`` has become once the triggers are gone, or after all legs."""
        ids = [one.token_ids for one in suspects]
        source = batches(self.teacher, self.learned, ids, self.variants, self.budget.seed)
        spread = Spread.of(self.examiner.original.clean)
        legs = _LEGS[method]
        for leg in range(legs):
            part = self.budget.part(leg / legs, (leg + 1) / legs)
            train(learner, self.teacher, source, spread, _KEPT * _LESS**leg, part)
            made = self._tempered(learner.model)
            trial = self.examiner.examine(made, suspects)
            if trial.has_worked:
                break
        return made, trial

    def _tempered(self, learner: LoadedModel) -> LoadedModel:
        """As much of what was learned as clean text bears."""
        for share in _SHARES:
            made = mixed(self.teacher, learner, share)
            if self.examiner.kept(made).is_enough:
                break
        return made

    def _judged(
        self,
        method: Method,
        suspects: tuple[Suspect, ...],
        made: tuple[LoadedModel, Trial],
        folder: Path,
    ) -> Round:
        """A round; if its trial worked, the model is written and scanned."""
        model, trial = made
        if not trial.has_worked:
            return Round(method, suspects, trial, None, ())
        changed = write_model(folder, self.artifact, self.teacher, model)
        return Round(method, suspects, trial, self._scan(folder), changed)

    def _scan(self, folder: Path) -> Report:
        """What a scan with a fresh seed says of the files."""

        def tell(progress: Progress) -> None:
            self.budget.checkpoint(progress.fraction, f"new scan: {progress.note}")

        events = scan_events(str(folder), self.settings, tell)
        return next(event.report for event in events if isinstance(event, Done))


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
