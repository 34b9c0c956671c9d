"""Where the parts of a scan that touch a model's files are executed.

A scan decides what comes next; an `Executor` does it.  `plmscan.scan.InProcess` does it in the
caller's process, `plmscan.worker` in one of its own, which can be ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping

    from plmscan.evidence import ProbeRun, Scalar
    from plmscan.rules import Rule
    from plmscan.scan.events import Event, Progress
    from plmscan.scan.settings import Settings
    from plmscan.source import Artifact

__all__ = ["Executor", "Facts", "ModelJob"]


@dataclass(frozen=True)
class Facts:
    """What a report says about a model that its files have to be opened for."""

    architecture: str | None = None
    """Class that the config names; None where the config is broken."""
    parameters: int | None = None
    """Parameters by the headers; None where they cannot be read."""


@dataclass(frozen=True)
class ModelJob:
    """All that it takes to load a model and to run the probes that need it."""

    artifact: Artifact
    """The model."""
    reference: Artifact | None
    """What it is compared with; None if it is not."""
    distrust: str | None
    """Why the reference must not be opened; None if it may be."""
    carriers: tuple[str, ...] | None
    """Texts of the user that candidates are put into; None to choose bundled ones."""
    inspected: tuple[str, ...]
    """Texts that the user wants to have inspected."""
    settings: Settings
    """What the user asked for."""
    rules: Collection[Rule]
    """Rules that will judge."""
    seconds: float | None
    """What is left of the time limit; None without one."""


class Executor(Protocol):
    """Does what a scan asks for, and never raises because of what a file holds."""

    def inspect(self, probe_id: str, artifact: Artifact, seconds: float | None) -> ProbeRun:
        """What becomes of one file probe that has ``seconds`` at most."""

    def identify(self, artifact: Artifact) -> Facts:
        """What the files say about the model."""

    def measure(
        self, job: ModelJob, on_progress: Callable[[Progress], None]
    ) -> Generator[Event, None, tuple[ProbeRun, ...]]:
        """Load the model and run the probes that need it, telling each step."""

    def told(self, artifact: Artifact, reference: Artifact | None) -> Mapping[str, Scalar]:
        """The bounds that all this was under, as a report shows them."""
