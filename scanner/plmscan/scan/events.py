"""What a scan tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plmscan.evidence import ProbeRun, Report

__all__ = [
    "Done",
    "Estimated",
    "Event",
    "ProbeFinished",
    "ProbeStarted",
    "Progress",
    "Resolved",
    "SideBySide",
]


@dataclass(frozen=True)
class Resolved:
    """The files are there and hashed."""

    id: str
    """What the user typed, without the revision."""
    revision: str | None
    """Commit SHA of a Hub model."""
    files: int
    """How many files the model has on disk."""
    size: int
    """Their bytes together."""


@dataclass(frozen=True)
class Estimated:
    """The model is loaded, and this is what searching it will take."""

    tokens: int
    """Forward-token-equivalents, about."""
    seconds: float
    """About, on this machine as it is now."""
    what: str = "the search"
    """What takes so long."""
    most: float | None = None
    """Seconds at most, where that is far more."""


@dataclass(frozen=True)
class SideBySide:
    """The model is about to be searched while others are."""

    others: int
    """How many."""
    size: int
    """Bytes of memory that all these searches take together, about."""
    there: int | None
    """Bytes of memory that the machine has; None where it does not tell."""


@dataclass(frozen=True)
class ProbeStarted:
    """A probe, or the loading of the model, begins."""

    id: str
    """The probe's id, or ``loading``."""


@dataclass(frozen=True)
class Progress:
    """How far the running step is; goes to ``on_progress``, not into the stream of events."""

    id: str
    """The probe's id, or ``source`` while files are fetched and hashed."""
    fraction: float
    """0 to 1."""
    note: str
    """What is being done."""


@dataclass(frozen=True)
class ProbeFinished:
    """A probe, or the loading of the model, ended one way or the other."""

    run: ProbeRun
    """What became of it."""


@dataclass(frozen=True)
class Done:
    """The scan is over."""

    report: Report
    """All that was found."""
    cached: bool = False
    """Whether it was measured by an earlier scan of the same files."""


Event = Resolved | SideBySide | Estimated | ProbeStarted | ProbeFinished | Done
"""What `scan_events` yields."""
