"""Inside a worker: take requests from one pipe, and tell through another what comes of them.

Nothing here prints, and nothing ends with a traceback: an error is an answer.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, BinaryIO

from plmscan.errors import PlmscanError, in_one_line
from plmscan.importing import library_at_fault
from plmscan.memory import allowed_bytes, bounded_memory, can_bound_memory, ran_out
from plmscan.probes import static_ids, static_probe
from plmscan.uncollected import uncollected
from plmscan.worker.confinement import Confinement, cut_network, end_with_parent
from plmscan.worker.messages import (
    Began,
    Bounded,
    Broke,
    Finished,
    Identify,
    Inspect,
    Logged,
    Measure,
    Mistaken,
    Ready,
    Refused,
    Request,
    read_message,
    write_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plmscan.evidence import Observation
    from plmscan.scan.execution import ModelJob

__all__ = ["main", "with_its_share"]


def main(parent: int) -> None:
    """Serve the process ``parent`` until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to answer
    end_with_parent(parent)
    requests, answers = _pipes()
    cut = cut_network()
    confinement = Confinement()
    sys.addaudithook(confinement)
    server = _Server(answers, confinement)
    server.tell(Ready(can_bound_memory(), cut))
    _prepare()
    for request in _arriving(requests):
        server.serve(request)


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to and from the parent; what libraries print goes to stderr instead."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _prepare() -> None:
    """Import what the first requests will need, while the parent looks for the model."""
    with uncollected():
        for probe_id in static_ids():
            with suppress(Exception):  # told when it is asked for
                static_probe(probe_id)
    gc.freeze()


def _arriving(requests: BinaryIO) -> Iterator[Request]:
    """Requests, one after the other; when the parent hangs up, this process ends at once."""
    queue: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        while (told := read_message(requests)) is not None:
            queue.put(told)
        os._exit(0)

    Thread(target=listen, daemon=True).start()
    while True:
        request = pickle.loads(queue.get())  # noqa: S301 - from the process that started us
        if isinstance(request, Request):
            yield request


@dataclass(frozen=True)
class _Server:
    """Answers requests."""

    answers: BinaryIO
    """Where to."""
    confinement: Confinement
    """What is refused."""
    lock: Lock = field(default_factory=Lock)
    """Keeps messages whole that threads log."""

    def tell(self, message: object) -> None:
        """Send ``message``; without a parent there is nothing left to do."""
        try:
            with self.lock:
                write_message(self.answers, message)
        except OSError:
            os._exit(0)

    def serve(self, request: Request) -> None:
        """Do what is asked."""
        try:
            os.chdir(request.folder)
            self._listen(request.level)
            match request.task:
                case Inspect():
                    self._inspect(request.task)
                case Identify():
                    self._identify(request.task)
                case Measure():
                    self._measure(request.task)
        except PlmscanError as error:
            self.tell(Refused(error))
        except Exception as error:
            logging.getLogger("plmscan").debug("the worker broke", exc_info=error)
            if ran_out(error):
                self._break(error, "worker")
                return
            words = in_one_line(error, 200)
            if library := library_at_fault(error):
                self.tell(Mistaken(words, library))
            else:
                self.tell(Mistaken(f"{type(error).__name__}: {words}"))

    def _listen(self, level: int) -> None:
        """Tell the parent what plmscan logs."""
        logger = logging.getLogger("plmscan")
        logger.handlers = [_Teller(self.tell)]
        logger.propagate = False
        logger.setLevel(level)

    def _inspect(self, task: Inspect) -> None:
        """Run a file probe, telling each observation."""

        def observations() -> Iterator[Observation]:
            probe = static_probe(task.probe_id)
            self.tell(Began(tuple(sorted(probe.metrics))))
            yield from probe.inspect(task.artifact)

        self.confinement.about(task.artifact.root)
        self._bounded(task.probe_id, observations, task.allowed)

    def _identify(self, task: Identify) -> None:
        """Read what a report says about the model."""

        def facts() -> Iterator[object]:
            from plmscan.scan.reporting import identified  # noqa: PLC0415 - not before probes

            self.tell(Began())
            yield identified(task.artifact)

        self.confinement.about(task.artifact.root)
        self._bounded("identity", facts, task.allowed)

    def _bounded(self, step: str, told: Callable[[], Iterator[object]], allowed: int) -> None:
        """Tell what comes of reading files, within the bound of memory."""
        whole = None
        try:
            with bounded_memory(allowed), uncollected():
                whole = allowed_bytes()
                for message in told():
                    self.tell(message)
        except Exception as error:  # noqa: BLE001 - a broken probe is a result
            self._break(error, step, whole)
        else:
            self.tell(Finished())

    def _break(self, error: Exception, step: str, allowed: int | None = None) -> None:
        """Tell how ``step`` broke of ``error``, when the process might have ``allowed`` bytes."""
        from plmscan.scan.isolation import status_of  # noqa: PLC0415 - not before probes

        status, reason = status_of(error, step, allowed)
        self.tell(Broke(status, reason, leaves=ran_out(error)))

    def _measure(self, task: Measure) -> None:
        """Run the model, telling each step."""
        from plmscan.scan import measure  # noqa: PLC0415 - not before probes

        job, reference = task.job, task.job.reference
        models = [*job.artifact.stack, *([] if reference is None else [reference])]
        self.confinement.about(*(model.root for model in models))
        with _bounded_model(task) as limit:
            self.tell(Bounded(limit))
            steps, runs = measure(with_its_share(task), self.tell), None
            while runs is None:
                try:
                    self.tell(next(steps))
                except StopIteration as end:
                    runs = end.value
        self.tell(Finished(runs))


@contextmanager
def _bounded_model(task: Measure) -> Iterator[int | None]:
    """Bound the memory that running the model takes; the bound, or None if there is none.

    There is none where a GPU computes: its driver maps more than anybody uses.  Libraries are
    imported before it holds, since one that runs out of memory halfway says anything.
    """
    with uncollected():
        import torch  # noqa: PLC0415 - only once the files have been read

        from plmscan import loading  # noqa: F401, PLC0415 - the same

    on_gpu = task.job.settings.device != "cpu" and torch.cuda.is_available()
    if on_gpu or not can_bound_memory():
        yield None
        return
    with bounded_memory(task.allowed):
        yield task.allowed


def with_its_share(task: Measure) -> ModelJob:
    """What to run, on no more threads than the other workers leave."""
    import torch  # noqa: PLC0415 - it is there by now

    settings = task.job.settings
    share = task.threads or max(1, torch.get_num_threads() // task.sharers)
    threads = settings.threads or share
    return replace(task.job, settings=replace(settings, threads=threads))


class _Teller(logging.Handler):
    """Hands log records to the parent."""

    def __init__(self, tell: Callable[[object], None]) -> None:
        """Tell by ``tell``."""
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record as text."""
        self._tell(Logged(record.name, record.levelno, self.format(record)))
