"""What a person sees on stderr while a scan runs."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from plmscan.cli.terminal.stderr import is_terminal, say
from plmscan.probes.words import counted
from plmscan.reports import Detail
from plmscan.reports.visible import visible
from plmscan.scan.events import Done, Estimated, ProbeFinished, ProbeStarted, Resolved, SideBySide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from plmscan.scan.events import Event, Progress

__all__ = ["Watcher", "watching"]

_SILENCE = 10.0
"""Seconds without a line after which a log gets a sign of life."""
_TENS = 20.0
"""Seconds from which an estimate is told in tens."""
_MINUTES = 100.0
"""Seconds from which it is told in minutes."""
_MOMENT = 0.1
"""Seconds that nobody wants to read about."""


class Watcher(Protocol):
    """Told what a scan does."""

    def on_event(self, event: Event) -> None:
        """A step began or ended."""

    def on_progress(self, progress: Progress) -> None:
        """The running step got further."""


@contextmanager
def watching(detail: Detail = Detail.NORMAL) -> Iterator[Watcher]:
    """Bars with the time left where stderr is a terminal; otherwise short lines for a log."""
    if detail is Detail.BRIEF:
        yield _Silence()
        return
    if detail is Detail.FULL or not is_terminal(sys.stderr):
        yield _Lines(detail)
        return
    from rich import progress  # noqa: PLC0415 - not needed for a log
    from rich.console import Console  # noqa: PLC0415

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)


class _Silence:
    """Nothing at all."""

    def on_event(self, event: Event) -> None:
        """Say nothing."""

    def on_progress(self, progress: Progress) -> None:
        """Say nothing."""


class _Lines:
    """A line for each step that ended, and a sign of life in a long one."""

    def __init__(self, detail: Detail) -> None:
        """Start the clock."""
        self._spoke = time.monotonic()
        self._every_step = detail is Detail.FULL

    def on_event(self, event: Event) -> None:
        """Tell of steps that ended, and of those that begin if every step is asked for."""
        line = _line(event)
        if self._every_step and isinstance(event, ProbeStarted):
            line = f"{event.id}: started"
        if line:
            self._say(line)

    def on_progress(self, progress: Progress) -> None:
        """Tell how far a long step is, now and then."""
        if time.monotonic() - self._spoke >= _SILENCE:
            self._say(f"{progress.id}: {progress.fraction:.0%} {progress.note}".rstrip())

    def _say(self, line: str) -> None:
        """Print one line to stderr."""
        self._spoke = time.monotonic()
        say(line)


class _Bars:
    """One bar for the running step."""

    def __init__(self, bars: RichProgress) -> None:
        """Draw on ``bars``."""
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def on_event(self, event: Event) -> None:
        """Show the bar of a step that began, and drop that of one that ended."""
        if isinstance(event, ProbeStarted):
            self._task(event.id)
        else:
            for task in self._tasks.values():
                self._bars.remove_task(task)
            self._tasks.clear()
        if line := _line(event):
            self._bars.console.print(visible(line), style="dim", markup=False, highlight=False)

    def on_progress(self, progress: Progress) -> None:
        """Move the bar."""
        task = self._task(progress.id)
        self._bars.update(task, total=1.0, completed=progress.fraction, note=visible(progress.note))

    def _task(self, step: str) -> TaskID:
        """The bar of ``step``, which pulses until there is progress to show."""
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=None, note="")
        return self._tasks[step]


def _line(event: Event) -> str:
    """What to say about ``event``; empty for nothing."""
    match event:
        case Resolved():
            revision = f" at {event.revision}" if event.revision else ""
            return f"{event.id}{revision}: {event.files} files, {event.size / 1e6:,.1f} MB"
        case SideBySide():
            return _beside(event)
        case Estimated(tokens, seconds, what, most):
            at_most = "" if most is None else f", at most {_rough(most)}"
            time_taken = f"about {_rough(seconds)}{at_most}"
            return f"{what} reads about {tokens / 1000:,.0f} k tokens: {time_taken}"
        case ProbeFinished(run):
            reason = f" ({run.reason})" if run.reason else ""
            time_taken = f" in {run.seconds:.1f} s" if run.seconds >= _MOMENT else ""
            return f"{run.id}: {run.status}{time_taken}{reason}"
        case Done(cached=True):
            return "the verdict is that of an earlier scan of the same files (--no-cache: again)"
        case _:
            return ""


def _beside(event: SideBySide) -> str:
    """What searches at the same time cost."""
    beside = f"searched beside {counted(event.others, 'other model')}"
    told = f"{beside}: about {event.size / 1e9:.1f} GB of memory together"
    if event.there is None or event.size <= event.there:
        return told
    return f"{told}, of {event.there / 1e9:.1f} GB here; one at a time (--jobs 1) is faster"


def _rough(seconds: float) -> str:
    """A time as nobody measures it to the second."""
    if seconds < _MINUTES:
        return f"{max(1, round(seconds, -1 if seconds >= _TENS else 0)):.0f} s"
    return f"{seconds / 60:.0f} min"
