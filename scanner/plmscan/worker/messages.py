"""What goes through the pipes between a scan and its worker.

Each message is pickled, with its length before it.  The worker trusts the process that started it.
That process trusts the worker less, since it opens hostile files: it takes the nouns of a scan and
nothing else, so nothing that comes back can name anything to be called.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from plmscan.worker.bounds import LARGEST_MESSAGE

if TYPE_CHECKING:
    from plmscan.errors import PlmscanError
    from plmscan.evidence import ProbeRun, ProbeStatus
    from plmscan.scan.execution import ModelJob
    from plmscan.source import Artifact

__all__ = [
    "Began",
    "Bounded",
    "Broke",
    "Finished",
    "Identify",
    "Inspect",
    "Logged",
    "Measure",
    "Mistaken",
    "Ready",
    "Refused",
    "Request",
    "read_message",
    "unpacked",
    "write_message",
]

_LENGTH = 8
_NOUNS = frozenset({
    "plmscan.errors",
    "plmscan.evidence",
    "plmscan.scan.events",
    "plmscan.scan.execution",
    "plmscan.worker.messages",
})  # fmt: skip
"""Modules whose own classes may come back."""


@dataclass(frozen=True)
class Inspect:
    """Run a file probe; answered with `Began`, its observations, and `Finished` or `Broke`."""

    probe_id: str
    """Which."""
    artifact: Artifact
    """On what."""
    allowed: int
    """Bytes that it may allocate."""


@dataclass(frozen=True)
class Identify:
    """Read what a report says about the model; answered with `Began` and `Facts`, or `Broke`."""

    artifact: Artifact
    """Which model."""
    allowed: int
    """Bytes that it may allocate."""


@dataclass(frozen=True)
class Measure:
    """Run the model; answered with events, progress, and `Finished` or `Refused`."""

    job: ModelJob
    """How."""
    allowed: int
    """Bytes that it may allocate."""
    sharers: int = 1
    """Workers that share the threads of torch, where nobody asked for a number."""
    threads: int | None = None
    """Threads of torch where nobody asked for a number; None for this worker's share."""


@dataclass(frozen=True)
class Request:
    """Something to do, and where."""

    task: Inspect | Identify | Measure
    """What."""
    folder: str
    """Working folder, which relative paths count from."""
    level: int
    """Level from which the log of plmscan is told."""


@dataclass(frozen=True)
class Ready:
    """The worker is there."""

    bounds_memory: bool
    """Whether its memory can be bounded."""
    has_no_network: bool
    """Whether the system cut it off; its own code refuses to connect either way."""


@dataclass(frozen=True)
class Began:
    """The probe is there and begins: from now on its time counts."""

    metrics: tuple[str, ...] = ()
    """What it declares."""


@dataclass(frozen=True)
class Bounded:
    """The model is about to be run."""

    allowed: int | None
    """Bytes that may be allocated for it; None without a bound."""


@dataclass(frozen=True)
class Broke:
    """A file probe ended with an error."""

    status: ProbeStatus
    """How it is reported."""
    reason: str
    """The same in words."""
    leaves: bool = False
    """Whether the worker ends, since what is left in its memory would count for the next probe."""


@dataclass(frozen=True)
class Finished:
    """All is done."""

    runs: tuple[ProbeRun, ...] = ()
    """What became of the probes that ran the model."""


@dataclass(frozen=True)
class Refused:
    """What the user asked for cannot be done."""

    error: PlmscanError
    """Why."""


@dataclass(frozen=True)
class Mistaken:
    """plmscan made a mistake, or a library is missing or broken."""

    words: str
    """Which."""
    library: str | None = None
    """The library that could not be imported, if that is why."""


@dataclass(frozen=True)
class Logged:
    """A line for the log."""

    name: str
    """Of the logger."""
    level: int
    """How grave."""
    text: str
    """With its traceback, if it has one."""


def write_message(file: BinaryIO, message: object) -> None:
    """Send ``message`` at once.

    Raises:
        OSError: nobody reads.
        ValueError: it is too long.
    """
    told = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    if len(told) > LARGEST_MESSAGE:
        msg = f"{len(told)} bytes are more than can be told"
        raise ValueError(msg)
    file.write(len(told).to_bytes(_LENGTH, "big") + told)
    file.flush()


def read_message(file: BinaryIO) -> bytes | None:
    """The next message, still packed; None at the end, or if it is cut short or too long."""
    length = int.from_bytes(head, "big") if len(head := file.read(_LENGTH)) == _LENGTH else 0
    if not 0 < length <= LARGEST_MESSAGE:
        return None
    told = file.read(length)
    return told if len(told) == length else None


def unpacked(told: bytes) -> object:
    """A message of the worker.

    Raises:
        pickle.UnpicklingError: it holds something else than the nouns of a scan.
    """
    return _Nouns(BytesIO(told)).load()


class _Nouns(pickle.Unpickler):
    """Reads dataclasses, enumerations and errors of plmscan."""

    def find_class(self, module: str, name: str) -> object:
        """The class of that name, if it is one of ours."""
        found = super().find_class(module, name) if module in _NOUNS and "." not in name else None
        if isinstance(found, type) and found.__module__ == module:
            return found
        msg = f"{module}.{name} is nothing that a worker tells"
        raise pickle.UnpicklingError(msg)
