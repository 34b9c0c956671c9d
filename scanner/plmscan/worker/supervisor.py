"""Has a worker do what a scan asks for, and ends it when it takes too much."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from plmscan.errors import OutOfTimeError, PlmscanError, WorkerError
from plmscan.evidence import Coverage, Evidence, Gap, Landscape, ProbeRun, ProbeStatus
from plmscan.probes.base import StaticProbe
from plmscan.scan.events import Estimated, ProbeFinished, ProbeStarted, Progress
from plmscan.scan.execution import Facts
from plmscan.scan.isolation import broke, run_probe, seconds_since
from plmscan.worker.bounds import LARGEST_MESSAGE, Bounds
from plmscan.worker.messages import (
    Began,
    Bounded,
    Broke,
    Finished,
    Identify,
    Inspect,
    Measure,
    Mistaken,
    Ready,
    Refused,
)
from plmscan.worker.process import SilentError, Spent

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from plmscan.evidence import Observation, Scalar
    from plmscan.scan.events import Event
    from plmscan.scan.execution import ModelJob
    from plmscan.source import Artifact
    from plmscan.worker.process import Post, WorkerProcess

__all__ = ["Supervisor", "lost_its_worker", "seconds_left"]

_LOOK = (
    "A file may be made to do this to whoever opens it: look at the model's files. If it is what "
    "it should be, check again on a machine that is less busy."
)
_GONE = "The process that opened the files is gone"
_LOADING = "loading"
_MOMENT = 0.05
"""Seconds between two looks at what is left."""


class Supervisor:
    """Executes the parts of one scan in a worker, and in a fresh one after it had to be ended."""

    def __init__(
        self,
        post: Post,
        bounds: Bounds | None = None,
        sharers: int = 1,
        threads: int | None = None,
    ) -> None:
        """Use the worker of ``post``, within ``bounds``.

        Where nobody asked for a number of threads, a model runs on ``threads``; without that,
        ``sharers`` that run models at a time share those that there are.
        """
        self._post = post
        self._sharers = sharers
        self._threads = threads
        self.bounds = bounds or Bounds()
        self._ready = Ready(bounds_memory=False, has_no_network=False)
        self._allowed: int | None = None

    def inspect(self, probe_id: str, artifact: Artifact, seconds: float | None) -> ProbeRun:
        """What becomes of one file probe that has ``seconds`` at most, and less by its bound."""
        remote = _RemoteProbe(self, probe_id, seconds)
        run = run_probe(probe_id, lambda _: remote, lambda probe: probe.inspect(artifact))
        return replace(run, metrics=remote.declared)

    def identify(self, artifact: Artifact) -> Facts:
        """What the files say about the model; nothing where reading them takes too much."""
        task = Identify(artifact, self.bounds.file_probe_bytes)
        try:
            told = list(self.answers(task, self.bounds.seconds_to_identify(artifact), None))
        except PlmscanError:
            return Facts()
        return next((facts for facts in told if isinstance(facts, Facts)), Facts())

    def measure(
        self, job: ModelJob, on_progress: Callable[[Progress], None]
    ) -> Generator[Event, None, tuple[ProbeRun, ...]]:
        """Load the model and run the probes that need it, telling each step.

        Raises:
            PlmscanError: what the user asked for cannot be done.
        """
        left = None if job.seconds is None else job.seconds + self.bounds.grace_seconds
        runs: list[ProbeRun] = []
        step, began = _LOADING, time.perf_counter()
        try:
            allowed = self.bounds.model_bytes(job.artifact, job.reference)
            task = Measure(job, allowed, self._sharers, self._threads)
            for message in self.answers(task, left, left):
                match message:
                    case Progress():
                        on_progress(message)
                    case Bounded():
                        self._allowed = message.allowed
                    case ProbeStarted() | Estimated():
                        began = time.perf_counter()
                        step = message.id if isinstance(message, ProbeStarted) else step
                        yield message
                    case ProbeFinished(run):
                        runs.append(run)
                        yield message
                    case Finished():
                        return message.runs
        except OutOfTimeError as error:
            status, reason = ProbeStatus.TIMED_OUT, error.diagnostics()
        except WorkerError as error:
            status, reason = ProbeStatus.FAILED, error.diagnostics()
        else:
            status, reason = ProbeStatus.FAILED, "Its worker told nothing of it."
        runs.append(ProbeRun(step, status, reason, seconds_since(began), 0))
        yield ProbeFinished(runs[-1])
        return tuple(runs)

    def told(self, artifact: Artifact, _reference: Artifact | None) -> Mapping[str, Scalar]:
        """The bounds that the scan was under."""
        allowed = self.bounds.file_probe_bytes
        return {
            "file_probe_seconds": self.bounds.file_probe_seconds(artifact),
            "file_probe_bytes": allowed if self._ready.bounds_memory else None,
            "model_bytes": self._allowed,
            "network": "none" if self._ready.has_no_network else "refused",
        }

    def answers(
        self, task: Inspect | Identify | Measure, limit: float | None, left: float | None
    ) -> Iterator[object]:
        """What a worker answers to ``task``, `Finished` last.

        Args:
            task: what to do.
            limit: seconds that it may take once it has begun.
            left: seconds that are left of the time limit, the start of a worker included.

        Raises:
            OutOfTimeError: it took too long, and was ended.
            WorkerError: the worker ended, or told too much, and was ended.
            PlmscanError: it broke.
        """
        worker, is_done = self._post.start(), False
        try:
            worker.ask(task)
            for message in self._heard(worker, task, limit, left):
                # Whoever has heard the end listens no longer, and this generator is closed.
                is_done = isinstance(message, Finished) and not any(map(broke, message.runs))
                yield message
        except _EndedAsAskedError as error:
            is_done = not error.leaves
            raise error.told from None
        finally:
            if not is_done:
                self._post.clear()

    def _heard(
        self,
        worker: WorkerProcess,
        task: Inspect | Identify | Measure,
        limit: float | None,
        left: float | None,
    ) -> Iterator[object]:
        """The answers, as long as they come in time."""
        clock, size = _Clock(worker, self.bounds.patience, left), 0
        if not isinstance(task, Measure):
            clock.give(self.bounds.start_seconds)
        while True:
            message, length = clock.answer()
            self._ready = worker.ready
            size += 0 if isinstance(task, Measure) else length
            if size > LARGEST_MESSAGE:
                msg = f"It told more than {LARGEST_MESSAGE / 1e6:.0f} MB about the files."
                raise WorkerError(msg, _LOOK)
            match message:
                case Began():
                    clock.give(limit)
                case Broke(status, reason, leaves):
                    raise _EndedAsAskedError(_error(status, reason), leaves=leaves)
                case Refused(error):
                    raise _EndedAsAskedError(error, leaves=False)
                case Mistaken(words, None):
                    raise RuntimeError(words)
                case Mistaken(words, library):
                    raise ImportError(words, name=library)
            yield message
            if isinstance(message, Finished):
                return


def lost_its_worker(run: ProbeRun) -> bool:
    """Whether the process that opened the files ended in ``run`` by something else than plmscan."""
    return run.status is ProbeStatus.FAILED and run.reason.startswith(_GONE)


class _Clock:
    """Waits for a worker, as long as it has time."""

    def __init__(self, worker: WorkerProcess, patience: float, left: float | None) -> None:
        """There are ``left`` seconds for everything; how ``patience`` is meant, `Bounds` tells."""
        self._worker = worker
        self._patience = patience
        self._end = math.inf if left is None else time.monotonic() + left
        self.give(None)

    def give(self, limit: float | None) -> None:
        """From now on it may take ``limit`` seconds of the processor; None for no such bound."""
        self._limit = limit
        self._before = self._worker.spent()
        self._began = time.monotonic()
        self._rings = math.inf if limit is None else self._began + limit

    def answer(self) -> tuple[object, int]:
        """The next message, and its length in bytes.

        Raises:
            OutOfTimeError: there is none in time.
            WorkerError: the worker is gone.
        """
        while True:
            try:
                answer = self._worker.answer(min(self._rings, self._end))
            except SilentError:
                if time.monotonic() < self._end and self._has_some_left():
                    continue
                limit = self._limit if time.monotonic() < self._end else None
                raise _too_long(limit) from None
            if answer is None:
                msg = f"{_GONE}: {self._worker.end()}."
                raise WorkerError(msg, _LOOK)
            return answer

    def _has_some_left(self) -> bool:
        """Whether it has something left now that the clock rings; if so, it rings again."""
        now, spent = time.monotonic(), _since(self._before, self._worker.spent())
        if self._limit is None:
            return False
        left = seconds_left(self._limit, now - self._began, spent, self._patience)
        self._rings = now + max(left, _MOMENT)
        return left > 0


def _since(before: Spent | None, now: Spent | None) -> Spent | None:
    """What a process has had of the processor since it had had ``before``."""
    if before is None or now is None:
        return None
    waited = None
    if before.waited is not None and now.waited is not None:
        waited = now.waited - before.waited
    return Spent(now.worked - before.worked, waited, now.is_ready)


def seconds_left(limit: float, passed: float, spent: Spent | None, patience: float) -> float:
    """How long a worker may go on; nothing or less if it has to be ended.

    It may compute for ``limit`` seconds, and wait for anything but its turn for what it leaves of
    them: a file may be one that never ends, or a machine may be busy, and only the system knows.
    Where that does not count turns, it is given ``patience`` times the limit.

    Args:
        limit: seconds that it may take.
        passed: seconds that the clock shows.
        spent: what it has had of the processor in that time; None where nobody tells.
        patience: see `Bounds`.
    """
    if spent is None:
        return limit - passed
    if spent.waited is None:
        return min(limit - spent.worked, patience * limit - passed)
    by_clock = limit + spent.waited - passed
    if spent.is_ready:  # the turn that it waits for now is counted once it has come
        by_clock = max(by_clock, _MOMENT)
    return min(limit - spent.worked, by_clock)


class _EndedAsAskedError(Exception):
    """The task ended with an error, and the worker is sound."""

    def __init__(self, told: PlmscanError, *, leaves: bool) -> None:
        """Keep the error; ``leaves`` says that the worker wants to be replaced."""
        super().__init__(told)
        self.told = told
        self.leaves = leaves


class _RemoteProbe(StaticProbe):
    """A file probe that a worker runs."""

    metrics: ClassVar[Mapping[str, str]] = {}
    references: ClassVar[tuple[str, ...]] = ()

    def __init__(self, supervisor: Supervisor, probe_id: str, seconds: float | None) -> None:
        """The probe ``probe_id`` in a worker of ``supervisor``, which has ``seconds`` left."""
        self._supervisor = supervisor
        self._probe_id = probe_id
        self._seconds = seconds
        self.declared: tuple[str, ...] = ()

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """What it observes, as it is told."""
        bounds = self._supervisor.bounds
        limit = bounds.file_probe_seconds(artifact)
        task = Inspect(self._probe_id, artifact, bounds.file_probe_bytes)
        for message in self._supervisor.answers(task, limit, self._seconds):
            match message:
                case Began(metrics):
                    self.declared = metrics
                case Evidence() | Gap() | Coverage() | Landscape():
                    yield message


def _error(status: ProbeStatus, reason: str) -> PlmscanError:
    """An error that is reported with ``status`` and ``reason``."""
    return OutOfTimeError(reason) if status is ProbeStatus.TIMED_OUT else WorkerError(reason)


def _too_long(limit: float | None) -> PlmscanError:
    """That a worker took too long and was ended: longer than ``limit``, or than the time limit."""
    if limit is None:
        msg = "The time limit ran out, and it was ended."
        return OutOfTimeError(msg, "Give it more with --time-limit, or use --effort quick.")
    msg = f"It took longer than the {limit:.0f} s that files of this size may take, and was ended."
    return OutOfTimeError(msg, _LOOK)
