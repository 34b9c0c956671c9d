"""Scanning one model after the other; what goes wrong with one does not stop the others."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from plmscan.cli.scanning.waiving import unmatched
from plmscan.cli.terminal.failures import mistake
from plmscan.cli.terminal.progress import watching
from plmscan.cli.terminal.stderr import say
from plmscan.errors import PlmscanError
from plmscan.reports import Detail
from plmscan.rules import overridden
from plmscan.scan import Done, scan_events
from plmscan.source import name_of
from plmscan.survey import Entry, Refusal, Survey
from plmscan.worker.process import standing_post
from plmscan.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.cli.scanning.plan import Job
    from plmscan.cli.terminal.progress import Watcher
    from plmscan.evidence import Report
    from plmscan.scan import Cache

__all__ = ["surveyed"]


def surveyed(
    jobs: Sequence[Job], detail: Detail, cache: Cache | None = None, *, debug: bool = False
) -> Survey:
    """Scan every model with progress on stderr; libraries that print do so there as well.

    ``debug`` prints the traceback of what plmscan did wrong.
    """
    quiet = detail is Detail.BRIEF
    replaced = {(job.settings.rules, i) for job in jobs for i in overridden(job.settings.rules)}
    for folder, rule_id in sorted(replaced, key=str):
        say(f"note: {folder} replaces the packaged rule {rule_id}.")
    entries = []
    with watching(detail) as watcher, redirect_stdout(sys.stderr):
        for number, job in enumerate(jobs, start=1):
            if len(jobs) > 1 and not quiet:
                say(f"[{number}/{len(jobs)}] {job.source}")
            outcome = _outcome(job, watcher, cache, debug=debug)
            if len(jobs) > 1 and isinstance(outcome, Refusal):
                say(f"error: {job.source}: {outcome.diagnostics}")
            entries.append(Entry(outcome, job.place))
    survey = Survey(tuple(entries))
    for remark in unmatched(jobs, survey):
        say(f"note: {remark}")
    return survey


def _outcome(job: Job, watcher: Watcher, cache: Cache | None, *, debug: bool) -> Report | Refusal:
    """The report of one model, or why there is none."""
    name = name_of(job.source)
    try:
        return _scan(job, watcher, cache)
    except PlmscanError as error:
        return Refusal.of(name, error)
    except Exception as error:  # noqa: BLE001 - the next model may fare better
        return Refusal.of(name, mistake(error, debug=debug))


def _scan(job: Job, watcher: Watcher, cache: Cache | None) -> Report:
    """The report of one model."""
    executor = Supervisor(standing_post())
    for event in scan_events(job.source, job.settings, watcher.on_progress, cache, executor):
        watcher.on_event(event)
        if isinstance(event, Done):
            return event.report
    msg = "The scan ended without a report."
    raise PlmscanError(msg)
