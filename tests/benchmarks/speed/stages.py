"""Wall time of a check by stage, from the order in which it tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from plmscan.scan import Done, ProbeFinished, ProbeStarted, Resolved
from tests.benchmarks.speed.results import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from plmscan.scan import Event, Progress

__all__ = ["Ear", "Mark", "stages"]

_FILES = "files found and hashed"
_TORCH = "torch imported"
_AFTER = "judged"
_BETWEEN = "between two probes"
_TOLD = "report told"
_START = "start"
_LOADING, _SOURCE = "loading", "source"


@dataclass(frozen=True)
class Mark:
    """From here on the time is that of a step."""

    seconds: float
    """On any clock."""
    step: str
    """A probe's id, or a name of ours; empty between two probes."""
    note: str = ""
    """What the probe is at; empty before it tells."""


class Ear:
    """Listens to a check.

    A note comes before the work that it names, so time after it belongs to it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """The check begins."""
        self._clock = clock
        self.marks = [Mark(clock(), _FILES)]

    def on_event(self, event: Event) -> None:
        """A step began or ended."""
        match event:
            case ProbeStarted(name):
                self._mark(name)
            case Done():
                self._mark(_TOLD)
            case Resolved() | ProbeFinished():
                self._mark("")

    def on_progress(self, progress: Progress) -> None:
        """A step goes on."""
        if progress.id != _SOURCE:
            self._mark(progress.id, progress.note)

    def on_end(self) -> None:
        """The command line has done its work."""
        self._mark("")

    def _mark(self, step: str, note: str = "") -> None:
        """Look at the clock."""
        self.marks.append(Mark(self._clock(), step, note))


def stages(marks: Sequence[Mark], tokens: Mapping[str, int]) -> tuple[Stage, ...]:
    """Stages in the order of their beginning; ``tokens`` of each probe are from the report."""
    spent: dict[str, dict[str, float]] = {}
    for name, note, seconds in _spent(marks):
        steps = spent.setdefault(name, {})
        steps[note] = steps.get(note, 0.0) + seconds
    return tuple(
        Stage(
            name=name,
            seconds=sum(steps.values()),
            tokens=tokens.get(name, 0),
            steps=steps if len(steps) > 1 else {},
        )
        for name, steps in spent.items()
    )


def _spent(marks: Sequence[Mark]) -> Iterator[tuple[str, str, float]]:
    """Step, note and seconds of each stretch; what is between two steps is named by the later."""
    for mark, following in pairwise(marks):
        between = {_LOADING: _TORCH, _TOLD: _AFTER}.get(following.step, _BETWEEN)
        yield mark.step or between, mark.note or _START, following.seconds - mark.seconds
