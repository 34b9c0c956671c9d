"""A worker from outside: started, spoken to, and ended."""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import Empty, Queue
from signal import Signals
from threading import Event, Thread
from typing import TYPE_CHECKING, BinaryIO, cast

import plmscan
from plmscan.errors import WorkerError
from plmscan.worker.messages import (
    Logged,
    Ready,
    Request,
    read_message,
    unpacked,
    write_message,
)

if TYPE_CHECKING:
    from plmscan.worker.messages import Identify, Inspect, Measure

__all__ = ["Post", "SilentError", "Spent", "WorkerProcess", "standing_post"]

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from plmscan.worker.server import main; main(int(sys.argv[1]))"
)
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
_SECRETS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
_AHEAD = 1000
"""Messages that a worker may be ahead."""
_MOMENT = 0.05
"""Seconds between two looks at a worker that ends."""
_ENDED = 10.0
"""Seconds in which a process is gone that was ended."""


@cache
def standing_post() -> Post:
    """The post of this process, whose worker stays for the next model until the process exits."""
    post = Post()
    atexit.register(post.clear)
    return post


class Post:
    """The place of one worker, filled again after it had to be ended."""

    def __init__(self) -> None:
        """There is no worker before it is started."""
        self._worker: WorkerProcess | None = None
        self.share: str | None = None
        """GPUs that its worker may use, for whoever lends some and takes them back."""

    def start(self) -> WorkerProcess:
        """The worker; started if there is none, without waiting for it.

        Raises:
            WorkerError: it cannot be started.
        """
        if self._worker is None or not self._worker.is_there():
            self.clear()
            self._worker = WorkerProcess()
        return self._worker

    def peak(self) -> int | None:
        """Bytes of memory that the worker has had at most; None where the system does not tell."""
        return None if self._worker is None else self._worker.peak()

    def forget_peak(self) -> None:
        """Let `peak` count from now on, where the system knows how."""
        if self._worker is not None:
            with suppress(OSError):
                Path(f"/proc/{self._worker.pid}/clear_refs").write_text("5", encoding="ascii")

    def clear(self) -> None:
        """End the worker, if there is one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()


class SilentError(Exception):
    """A worker told nothing for as long as it may."""


@dataclass(frozen=True)
class Spent:
    """What a process has had of the processor, in seconds."""

    worked: float
    """In which it computed."""
    waited: float | None
    """In which it could have, and others did; None where the system does not count that."""
    is_ready: bool
    """Whether it computes or waits for its turn now, and for nothing else."""


class WorkerProcess:
    """One worker."""

    def __init__(self) -> None:
        """Start it; nothing is waited for.

        Raises:
            WorkerError: it cannot be started.
        """
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-W", "ignore", "-c", _START, str(os.getpid()), _paths()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if _is_debugged() else subprocess.DEVNULL,
                env={k: v for k, v in os.environ.items() if k not in _SECRETS} | _OFFLINE,
            )
        except (OSError, ValueError) as error:
            msg = f"No worker process can be started to open the files ({error})."
            raise WorkerError(msg, "Let plmscan start Python processes.") from error
        self.ready = Ready(bounds_memory=False, has_no_network=False)
        self._owner = os.getpid()
        self._told: Queue[bytes | None] = Queue(_AHEAD)
        self._is_over = Event()
        pipe = cast("BinaryIO", self._process.stdout)
        Thread(target=self._listen, args=(pipe,), daemon=True).start()

    def ask(self, task: Inspect | Identify | Measure) -> None:
        """Send a request; a worker that is gone does not answer."""
        level = logging.getLogger("plmscan").getEffectiveLevel()
        try:
            write_message(cast("BinaryIO", self._process.stdin), Request(task, _folder(), level))
        except OSError:
            return  # it is gone, as whoever waits for the answer will see

    def answer(self, until: float) -> tuple[object, int] | None:
        """The next message and its length in bytes; None if the worker is gone.

        Raises:
            SilentError: there is none when the ``time.monotonic()`` value ``until`` is reached.
        """
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise SilentError
            try:
                told = self._told.get(timeout=None if math.isinf(left) else left)
            except Empty:
                raise SilentError from None
            if told is None:
                return None
            try:
                message = unpacked(told)
            except (pickle.UnpicklingError, AttributeError, EOFError, TypeError):
                return None  # not from our code, so the worker is not ours any more
            if isinstance(message, Ready):
                self.ready = message
                continue
            if not isinstance(message, Logged):
                return message, len(told)
            logging.getLogger(message.name).log(message.level, "%s", message.text)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def spent(self) -> Spent | None:
        """What it has had of the processor; None where the system does not tell."""
        try:
            told = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
            state, *others = told.rpartition(")")[2].split()
            worked = sum(map(int, others[10:12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, AttributeError):
            return None
        return Spent(worked, self._waited(), state == "R")

    def _waited(self) -> float | None:
        """Seconds in which the thread that opens files waited for its turn."""
        try:
            told = Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii")
            computed, waited, _ = map(int, told.split())
        except (OSError, ValueError):
            return None
        return waited / 1e9 if computed else None  # zeros where the system does not count

    def peak(self) -> int | None:
        """Bytes of memory that it has had at most; None where the system does not tell."""
        try:
            told = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        found = (line.split() for line in told.splitlines() if line.startswith("VmHWM:"))
        return next((int(words[1]) * 1024 for words in found), None)

    def is_there(self) -> bool:
        """Whether it still runs, and belongs to this process, not to one that this is a copy of."""
        return self._owner == os.getpid() and self._process.poll() is None

    def end(self) -> str:
        """End it if it still runs; how it ended, in words."""
        if self._owner != os.getpid():
            return "it belongs to another process"
        by_itself = self._is_over.wait(0)
        if not by_itself:
            self._process.kill()
        while not self._is_over.is_set():
            with suppress(Empty):  # the thread that listens may wait for a place
                self._told.get(timeout=_MOMENT)
        self._told.put(None)  # for whoever still waits for an answer
        code = self._process.wait(_ENDED)
        with suppress(OSError):
            cast("BinaryIO", self._process.stdin).close()
        return _in_words(code) if by_itself else "it was ended"

    def _listen(self, pipe: BinaryIO) -> None:
        """Take what it tells, until it is gone."""
        with pipe:
            while (told := read_message(pipe)) is not None:
                self._told.put(told)
        self._is_over.set()
        self._told.put(None)


def _paths() -> str:
    """Where this process imports from, but not from the working folder: it may be a model's."""
    here, home = _folder(), str(Path(plmscan.__file__).parent.parent)
    whole = (os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100 - strings
    return json.dumps([path for path in whole if path == home or path != here])


def _folder() -> str:
    """The working folder; the root where it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109 - a string is sent
    except OSError:
        return os.sep


def _is_debugged() -> bool:
    """Whether somebody wants to see what libraries complain of."""
    return logging.getLogger("plmscan").isEnabledFor(logging.DEBUG)


def _in_words(code: int) -> str:
    """What an exit code means."""
    if code >= 0:
        return f"it left with exit code {code}"
    try:
        name = Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    by_system = ", as the system does where memory runs out" if name == "SIGKILL" else ""
    return f"it was ended by {name}{by_system}"
