"""Scanning models: the next is made ready while one is searched, and each is told in its place.

What goes wrong with one model does not stop the others.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, redirect_stdout
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from plmscan.cli.scanning.at_once import sensible
from plmscan.cli.scanning.turns import Turn, Turns
from plmscan.cli.scanning.waiving import unmatched
from plmscan.cli.terminal.failures import mistake
from plmscan.cli.terminal.progress import watching
from plmscan.cli.terminal.stderr import say
from plmscan.errors import PlmscanError
from plmscan.evidence import Verdict
from plmscan.probes.words import counted
from plmscan.reports import Detail
from plmscan.rules import overridden
from plmscan.scan import Done, Progress, scan_events
from plmscan.source import name_of
from plmscan.survey import Entry, Refusal, Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plmscan.cli.scanning.plan import Job
    from plmscan.cli.terminal.progress import Watcher
    from plmscan.evidence import Report
    from plmscan.scan import Cache, Event

__all__ = ["surveyed"]


class _Course:
    """The scan of one model, which goes on in a thread and is told in another."""

    def __init__(self, job: Job, cache: Cache | None) -> None:
        """Begin nothing yet."""
        self.job = job
        self._cache = cache
        self._told: SimpleQueue[Event | Progress | BaseException] = SimpleQueue()
        self.is_heard = False
        """Whether somebody listens."""

    def run(self, turns: Turns, turn: Turn) -> None:
        """Scan the model in its turn, until nobody wants to know any more."""
        source, settings = self.job.source, self.job.settings
        try:
            for event in scan_events(source, settings, self._on_progress, self._cache, turn):
                self._told.put(event)
                if turns.is_over:
                    return
        except BaseException as error:  # noqa: BLE001 - raised again for whoever listens
            self._told.put(error)
        else:
            self._told.put(PlmscanError("The scan ended without a report."))

    def report(self, watcher: Watcher) -> Report:
        """Tell ``watcher`` what has happened and what happens, until there is a report.

        Raises:
            BaseException: whatever ended the scan.
        """
        self.is_heard = True
        while True:
            told = self._told.get()
            if isinstance(told, BaseException):
                raise told
            if isinstance(told, Progress):
                watcher.on_progress(told)
                continue
            watcher.on_event(told)
            if isinstance(told, Done):
                return told.report

    def _on_progress(self, progress: Progress) -> None:
        """Keep for nobody how far a step was before anybody listened."""
        if self.is_heard:
            self._told.put(progress)


def surveyed(
    jobs: Sequence[Job],
    detail: Detail,
    cache: Cache | None = None,
    *,
    at_once: int = 1,
    debug: bool = False,
) -> Survey:
    """Scan every model with progress on stderr; libraries that print do so there as well.

    ``at_once`` models are searched at the same time, if that makes sense.  ``debug`` prints the
    traceback of what plmscan did wrong.
    """
    quiet = detail is Detail.BRIEF
    replaced = {(job.settings.rules, i) for job in jobs for i in overridden(job.settings.rules)}
    for folder, rule_id in sorted(replaced, key=str):
        say(f"note: {folder} replaces the packaged rule {rule_id}.")
    entries = []
    courses = [_Course(job, cache) for job in jobs]
    at_once = sensible(at_once, jobs)
    with watching(detail) as watcher, redirect_stdout(sys.stderr), _under_way(courses, at_once):
        for number, course in enumerate(courses, start=1):
            source = course.job.source
            if len(jobs) > 1 and not quiet:
                say(f"[{number}/{len(jobs)}] {source}")
            outcome = _outcome(course, watcher, debug=debug)
            if len(jobs) > 1 and isinstance(outcome, Refusal):
                say(f"error: {source}: {outcome.diagnostics}")
            entries.append(Entry(outcome, course.job.place))
            if course.job.settings.fail_fast and entries[-1].verdict is not Verdict.PASS:
                break
    entries += _unchecked(entries[-1].model, [course.job for course in courses[len(entries) :]])
    survey = Survey(tuple(entries))
    for remark in unmatched(jobs, survey):
        say(f"note: {remark}")
    return survey


@contextmanager
def _under_way(courses: Sequence[_Course], at_once: int) -> Iterator[None]:
    """Have the scans go on inside; whatever leaves early ends those that still do."""
    waiting: SimpleQueue[_Course] = SimpleQueue()
    for course in courses:
        waiting.put(course)
    with Turns(at_once) as turns:
        # those that search and one that makes ready; each may be in a call that nothing interrupts
        threads = [
            Thread(target=_work, args=(waiting, turns), daemon=True) for _ in courses[: at_once + 1]
        ]
        for thread in threads:
            thread.start()
        yield
        if all(course.is_heard for course in courses):
            for thread in threads:
                thread.join()


def _work(waiting: SimpleQueue[_Course], turns: Turns) -> None:
    """Run one scan after the other, each when its turn comes."""
    while not turns.is_over:
        with Turn(turns) as turn:
            try:
                course = waiting.get_nowait()
            except Empty:
                return
            course.run(turns, turn)


def _unchecked(culprit: str, jobs: Sequence[Job]) -> list[Entry]:
    """What there is to say of the models behind ``culprit``, which did not pass: no verdict."""
    if jobs:
        say(
            f"note: {culprit} did not pass, so {counted(len(jobs), 'model')} behind it "
            "will not be checked (--fail-fast)."
        )
    problem = f"It was not checked: {culprit} did not pass, and --fail-fast ends there."
    remedy = "Check it by itself, or without --fail-fast."
    return [Entry(Refusal(name_of(job.source), problem, remedy), job.place) for job in jobs]


def _outcome(course: _Course, watcher: Watcher, *, debug: bool) -> Report | Refusal:
    """The report of one model, or why there is none."""
    name = name_of(course.job.source)
    try:
        return course.report(watcher)
    except PlmscanError as error:
        return Refusal.of(name, error)
    except Exception as error:  # noqa: BLE001 - the next model may fare better
        return Refusal.of(name, mistake(error, debug=debug))
