"""Whose turn it is: while models are searched, the next one is made ready.

To make a model ready is to find, fetch and hash it, and to run the probes of its files.  Then it
waits until it can be searched, and only after that the one behind it begins: no more than one is
ever ahead, no two look at the Hub at once, and all begin in the order in which they were named.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Event, Lock
from typing import TYPE_CHECKING, Self

from plmscan.errors import WorkerError
from plmscan.memory import memory_of_machine
from plmscan.scan.events import SideBySide
from plmscan.worker.process import Post, standing_post
from plmscan.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from plmscan.evidence import ProbeRun, Scalar
    from plmscan.scan.events import Event as ScanEvent
    from plmscan.scan.events import Progress
    from plmscan.scan.execution import Facts, ModelJob
    from plmscan.source import Artifact

__all__ = ["Turn", "Turns"]


class Turns:
    """The workers of a run: those that search, and one for the files of the model that is next."""

    def __init__(self, at_once: int) -> None:
        """Search ``at_once`` models at a time; no worker is started before it is needed."""
        self.at_once = at_once
        self.searched: dict[Post, int] = {}
        """Bytes of memory, about, that the running searches take."""
        self.files = Post()
        self.readying = Lock()
        """Held by whoever makes a model ready."""
        self._searching = (standing_post(), *(Post() for _ in range(at_once - 1)))
        self._free: SimpleQueue[Post | None] = SimpleQueue()
        for post in self._searching:
            self._free.put(post)
        self._is_over = Event()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let nobody begin anything, and end every worker but an idle one that stands for later."""
        self._is_over.set()
        idle = set()
        while (post := self.spare()) is not None:
            idle.add(post)
        self._free.put(None)  # whoever makes a model ready may wait for it
        for post in {self.files, *self._searching} - ({standing_post()} & idle):
            post.clear()

    @property
    def is_over(self) -> bool:
        """Whether nobody wants to know any more."""
        return self._is_over.is_set()

    def spare(self) -> Post | None:
        """A worker that searches nothing, which is now the caller's; None if all are busy."""
        try:
            return self._free.get_nowait()
        except Empty:
            return None

    def next(self) -> Post:
        """The same, as soon as there is one.

        Raises:
            WorkerError: the run is over.
        """
        post = self._free.get()
        if post is None:
            msg = "The run ended before its turn."
            raise WorkerError(msg)
        return post

    def back(self, post: Post) -> None:
        """Take a worker back that `spare` or `next` has lent."""
        self.searched.pop(post, None)
        self._free.put(post)


class Turn:
    """One model's turn, which executes its scan: files at once, the search when a worker is free.

    The files are opened by the worker that will search the model, if that has nothing else to do.
    """

    def __init__(self, turns: Turns) -> None:
        """Wait for nothing yet."""
        self._turns = turns
        self._is_ready = False
        self._post: Post | None = None

    def __enter__(self) -> Self:
        """Wait until the model before is being searched, or done with."""
        self._turns.readying.acquire()
        self._post = self._turns.spare()
        self._scan = self._supervisor(self._post or self._turns.files)
        return self

    def __exit__(self, *_: object) -> None:
        """Make room for the next."""
        if self._post is not None:
            self._turns.back(self._post)
        self._leave_room()

    def inspect(self, probe_id: str, artifact: Artifact, seconds: float | None) -> ProbeRun:
        """What becomes of one file probe."""
        return self._scan.inspect(probe_id, artifact, seconds)

    def identify(self, artifact: Artifact) -> Facts:
        """What the files say about the model."""
        return self._scan.identify(artifact)

    def measure(
        self, job: ModelJob, on_progress: Callable[[Progress], None]
    ) -> Generator[ScanEvent, None, tuple[ProbeRun, ...]]:
        """Load the model and run the probes that need it, when its turn has come.

        The time limit is not touched by the wait.

        Raises:
            PlmscanError: what the user asked for cannot be done.
        """
        if self._post is None:
            self._post = self._turns.next()
            self._scan = self._supervisor(self._post)
        others = dict(self._turns.searched)
        takes = self._scan.bounds.model_takes(job.artifact, job.reference)
        self._turns.searched[self._post] = takes
        self._leave_room()
        if others:
            yield SideBySide(len(others), takes + sum(others.values()), memory_of_machine())
        return (yield from self._scan.measure(job, on_progress))

    def told(self, artifact: Artifact, reference: Artifact | None) -> Mapping[str, Scalar]:
        """The bounds that all this was under."""
        return self._scan.told(artifact, reference)

    def _supervisor(self, post: Post) -> Supervisor:
        """Whoever has the worker of ``post`` do what the scan asks for."""
        return Supervisor(post, sharers=self._turns.at_once)

    def _leave_room(self) -> None:
        """Let the next model be made ready."""
        if not self._is_ready:
            self._is_ready = True
            self._turns.readying.release()
