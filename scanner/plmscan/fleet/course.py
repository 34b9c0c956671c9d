"""The course of a fleet: which task comes next, and what its end means.

Every model is fetched, examined and, where nothing speaks against it, searched; the largest first,
so that the last hour is not spent waiting for one.  Models with the same files are scanned once.  A
machine that is lost costs nobody anything but what ran on it.  A model whose worker is lost three
times, while its machine lives on, is answered: inconclusive, for that reason.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from plmscan.errors import PlmscanError
from plmscan.evidence import Report
from plmscan.fleet.answers import answer, read_answer, renamed
from plmscan.fleet.costs import EXAMINE, FETCH, Needs, search_needs
from plmscan.fleet.hosts import Hosts, host_of
from plmscan.fleet.ledger import Measures
from plmscan.fleet.tasks import (
    STAGES,
    Answered,
    Asked,
    Busy,
    Ended,
    Examined,
    Fetched,
    Prepared,
)
from plmscan.survey import Entry, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plmscan.fleet.answers import Answer
    from plmscan.fleet.costs import Capacity
    from plmscan.fleet.ledger import Ledger
    from plmscan.fleet.questions import Question
    from plmscan.fleet.tasks import Stages
    from plmscan.scan import Cache

__all__ = ["Cluster", "Course", "Limits", "ended_by"]

_LOSSES = 3
"""Times that a model may lose its worker."""
_MISHAPS = 20
"""Times that a task may be lost with its machine."""
_POSTPONED = 10
"""Times that a host may ask to come back later."""
_AHEAD = 16
"""Models that are ready to be searched, beside those that are; more would only fill the disk."""
_MOMENT = 0.5
"""Seconds between two looks at what is due."""


class Cluster(Protocol):
    """Where tasks run."""

    @property
    def capacity(self) -> Capacity:
        """What there is now."""

    def submit(
        self, function: Callable[..., object], argument: object, needs: Needs, name: str
    ) -> object:
        """Have ``function`` run on ``argument``; a ticket."""

    def heard(self, seconds: float) -> list[tuple[object, object]]:
        """Tickets with what came of them."""

    def publish(self, counts: dict[str, int]) -> None:
        """Tell whoever watches how many models are in which state."""


@dataclass(frozen=True)
class Limits:
    """What the user allows."""

    folder: str
    """Working folder, which relative paths count from."""
    cache: Cache | None = None
    """Verdicts of earlier scans; None to measure again."""
    jobs: int | None = None
    """Models to search at a time; None for as many as fit."""
    gpus: float | None = None
    """GPUs of one model; None for one where there are any."""
    stop_after: float | None = None
    """Seconds after which nothing new is begun; None for no end."""


@dataclass
class _Model:
    """A model under way."""

    question: Question
    """What is asked."""
    host: str
    """Where it is fetched from."""
    fetched: Fetched | None = None
    """Its files; None before they are there."""
    examined: Examined | None = None
    """What its files say; None before they were looked at."""
    needs: Needs = FETCH
    """What its running task holds."""
    losses: list[str] = field(default_factory=list)
    """How its workers were lost."""
    mishaps: int = 0
    """How often its task was lost with a machine."""
    postponed: int = 0
    """How often its host asked to come back later."""


def ended_by(questions: Sequence[Question], ledger: Ledger) -> str | None:
    """The first model that did not pass where nothing more is to be begun then; None without one.

    So the same run again begins nothing either.
    """
    hasty = {question.name for question in questions if question.settings.fail_fast}
    answered = (row for row in ledger.rows() if row.name in hasty and row.verdict is not None)
    return next((row.name for row in answered if row.verdict != "pass"), None)


class Course:
    """One run of a fleet."""

    def __init__(
        self,
        questions: Sequence[Question],
        ledger: Ledger,
        cluster: Cluster,
        limits: Limits,
        stages: Stages = STAGES,
    ) -> None:
        """Answer ``questions`` on ``cluster`` by ``stages``, within ``limits``."""
        self._ledger, self._cluster, self._limits = ledger, cluster, limits
        self._stages, self._hosts = stages, Hosts()
        self._number = itertools.count()
        self._to_fetch: defaultdict[str, deque[_Model]] = defaultdict(deque)
        for question in sorted(questions, key=lambda q: -q.size):
            host = host_of(question.source)
            self._to_fetch[host].append(_Model(question, host))
        self._to_examine: deque[_Model] = deque()
        self._to_search: list[tuple[float, int, _Model]] = []
        self._running: dict[object, tuple[str, _Model]] = {}
        self._twins: dict[str, list[_Model]] = {}
        self._left = len(questions)
        self._is_ended = False
        self._began = time.monotonic()

    def run(self, on_step: Callable[[], None]) -> None:
        """Answer every question, or as many as the limits allow; ``on_step`` is told now and then.

        Raises:
            FleetError: an answer cannot be written.
        """
        told = time.monotonic()
        while self._left and (self._running or not self._is_over()):
            if not self._is_over():
                self._begin_what_can()
            for ticket, outcome in self._cluster.heard(_MOMENT):
                self._hear(*self._running.pop(ticket), outcome)
            if time.monotonic() - told >= _MOMENT:
                told = time.monotonic()
                self._ledger.save()
                on_step()

    def _is_over(self) -> bool:
        """Whether nothing new may be begun."""
        limit = self._limits.stop_after
        is_late = limit is not None and time.monotonic() - self._began >= limit
        return self._is_ended or is_late

    def _begin_what_can(self) -> None:
        """Submit as many tasks as are sensible now."""
        self._begin_searches()
        running = Counter(stage for stage, _ in self._running.values())
        cores = max(2, int(self._cluster.capacity.cores))
        # beside searches they take every second core's time, and without any all there is
        most = cores // 2 if self._to_search or running["search"] else 2 * cores
        while self._to_examine and running["examine"] < most:
            self._begin_examination(self._to_examine.popleft())
            running["examine"] += 1
        ahead = len(self._to_search) + len(self._to_examine) + running["fetch"]
        for host, waiting in self._to_fetch.items():
            while waiting and ahead < cores + _AHEAD and self._hosts.is_open(host):
                model = waiting.popleft()
                self._hosts.begin(host)
                asked = Asked(model.question, self._limits.folder, self._limits.cache)
                self._submit("fetch", model, asked, FETCH)
                ahead += 1

    def _begin_examination(self, model: _Model) -> None:
        """Have the file probes run."""
        assert model.fetched is not None  # noqa: S101 - it was fetched before it was queued
        prepared = Prepared(model.fetched, self._cluster.capacity.most_memory)
        self._submit("examine", model, prepared, EXAMINE)

    def _begin_searches(self) -> None:
        """Submit the largest models, as many as fit and half as many again.

        What waits at the cluster has its task start without delay, and lets a cluster that can
        grow do so.
        """
        capacity, limits = self._cluster.capacity, self._limits
        busy = [model.needs.cores for stage, model in self._running.values() if stage == "search"]
        room = 1.5 * max(capacity.cores, 1.0) - sum(busy)
        count = len(busy)
        while self._to_search and room > 0 and (limits.jobs is None or count < limits.jobs):
            _, _, model = heapq.heappop(self._to_search)
            assert model.examined is not None  # noqa: S101 - it was examined before it was queued
            fetched = model.examined.fetched
            settings, losses = model.question.settings, len(model.losses)
            needs = search_needs(settings, fetched.takes, capacity, limits.gpus, losses)
            given = replace(model.examined, threads=max(1, int(needs.cores)))
            self._submit("search", model, given, needs)
            room -= needs.cores
            count += 1

    def _submit(self, stage: str, model: _Model, argument: object, needs: Needs) -> None:
        """Hand one task to the cluster."""
        model.needs = needs
        name = f"{stage} {model.question.name}"
        ticket = self._cluster.submit(getattr(self._stages, stage), argument, needs, name)
        self._running[ticket] = stage, model
        self._ledger.stage(model.question.name, stage, attempt=stage == "search")

    def _hear(self, stage: str, model: _Model, outcome: object) -> None:
        """Take what came of one task."""
        if stage == "fetch":
            self._hosts.end(model.host)
        match outcome:
            case Fetched():
                self._take_files(model, outcome)
            case Examined():
                model.examined = outcome
                cost = outcome.fetched.cost.seconds
                heapq.heappush(self._to_search, (-cost, next(self._number), model))
                self._ledger.stage(model.question.name, "ready")
            case Busy():
                self._postpone(model, outcome)
            case Answered(lost="") as answered:
                self._answer(model, answered)
            case Answered() as answered:
                self._lose(stage, model, answered.lost, answered)
            case Ended():
                self._lose_task(stage, model, outcome)
            case _:
                msg = f"A task gave {type(outcome).__name__}."
                raise TypeError(msg)

    def _take_files(self, model: _Model, fetched: Fetched) -> None:
        """Have a model examined, or wait for another that has the same files."""
        model.fetched = fetched
        if (row := self._ledger.answered_twin(fetched.twin)) is not None:
            document = self._ledger.report(row)
            if document is not None:
                self._copy(model, row.name, document)
                return
        if fetched.twin in self._twins:
            self._twins[fetched.twin].append(model)
            self._ledger.stage(model.question.name, "twin")
            return
        self._twins[fetched.twin] = []
        self._to_examine.append(model)
        self._ledger.stage(model.question.name, "fetched")

    def _postpone(self, model: _Model, busy: Busy) -> None:
        """Fetch a model later, as its host asks; answer that it is busy if that goes on."""
        model.postponed += 1
        self._hosts.rest(model.host, busy.seconds, model.postponed)
        if model.postponed > _POSTPONED:
            self._answer(model, busy.answered)
        else:
            self._to_fetch[model.host].appendleft(model)
            self._ledger.stage(model.question.name, "waiting")

    def _lose_task(self, stage: str, model: _Model, lost: Ended) -> None:
        """A task gave no answer: its worker died, its machine did, or Ray broke."""
        if lost.by_model:
            self._lose(stage, model, lost.reason, None)
            return
        model.mishaps += 1
        if model.mishaps > _MISHAPS:
            self._give_up(model, f"Its task was lost {model.mishaps} times: {lost.reason}.")
        else:
            self._again(stage, model)

    def _lose(self, stage: str, model: _Model, reason: str, answered: Answered | None) -> None:
        """A worker was lost over a model, which may be why."""
        model.losses.append(reason)
        if len(model.losses) < _LOSSES:
            self._again(stage, model)
        elif answered is not None:
            self._answer(model, _with_losses(answered))
        else:
            self._give_up(model, f"It lost its worker {_LOSSES} times: {reason}.")

    def _again(self, stage: str, model: _Model) -> None:
        """Queue the same step of a model once more."""
        if stage == "fetch":
            self._to_fetch[model.host].append(model)
        elif stage == "examine" or model.examined is None:
            self._to_examine.append(model)
        else:
            heapq.heappush(self._to_search, (0.0, next(self._number), model))
        self._ledger.stage(model.question.name, "waiting")

    def _give_up(self, model: _Model, problem: str) -> None:
        """Answer that a model could not be scanned."""
        remedy = "Look at its files (plmscan check --files-only), or use machines with more memory."
        name = model.question.name.removesuffix(f"@{model.question.settings.revision}")
        refusal = Refusal.of(name, PlmscanError(problem, remedy))
        line, text = answer(Entry(refusal, model.question.place))
        self._answer(model, Answered(line, text))

    def _answer(self, model: _Model, answered: Answered) -> None:
        """Write down the answer about a model, and about those with the same files."""
        fetched, needs = model.fetched, model.needs
        measures = Measures(
            seconds=answered.seconds,
            machine=answered.machine,
            used_bytes=answered.used,
            asked_bytes=needs.memory or None,
            cores=needs.cores or None,
        )
        if fetched is not None:
            cost = fetched.cost
            measures = replace(
                measures,
                twin=fetched.twin,
                weights=cost.weights,
                expected_seconds=round(cost.seconds, 1),
            )
        self._record(model.question, answered.answer, answered.text, measures)
        for twin in self._twins.pop(fetched.twin, []) if fetched is not None else []:
            self._copy(twin, model.question.name, answered.text)

    def _copy(self, model: _Model, name: str, document: str | bytes) -> None:
        """Answer what was answered about the model ``name``, which has the same files."""
        assert model.fetched is not None  # noqa: S101 - its files were compared
        _, entry = read_answer(document)
        own = renamed(entry, model.question, model.fetched.job.artifact.revision)
        line, text = answer(own)
        cost = model.fetched.cost
        measures = Measures(twin=model.fetched.twin, same_as=name, weights=cost.weights)
        self._record(model.question, line, text, measures)

    def _record(self, question: Question, line: Answer, text: str, measures: Measures) -> None:
        """Write an answer down; with ``--fail-fast`` one that is no pass ends the run."""
        self._ledger.record(question, line, text, measures)
        self._left -= 1
        self._is_ended |= question.settings.fail_fast and line.verdict != "pass"


def _with_losses(answered: Answered) -> Answered:
    """The answer of a model that has lost its worker as often as it may, which says so."""
    _, entry = read_answer(answered.text)
    if not isinstance(entry.outcome, Report):
        return answered
    why = f"It lost its worker {_LOSSES} times, and was not tried again."
    report = replace(entry.outcome, reasons=(*entry.outcome.reasons, why))
    line, text = answer(replace(entry, outcome=report))
    return replace(answered, answer=line, text=text)
