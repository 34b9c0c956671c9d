"""Running a fleet from the command line, and telling how it stands."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plmscan.cli.scanning.plan import Asked, plan
from plmscan.cli.scanning.store import Store, store_folder
from plmscan.cli.terminal.stderr import is_terminal, say
from plmscan.errors import FleetError
from plmscan.fleet.cluster import joined
from plmscan.fleet.course import Course, Limits, ended_by
from plmscan.fleet.drift import drifts
from plmscan.fleet.ledger import opened, read_ledger
from plmscan.fleet.listing import HubQuery, models_below, models_of, registered
from plmscan.fleet.questions import questions
from plmscan.fleet.standing import Standing
from plmscan.fleet.summary import Summary, write_summary
from plmscan.fleet.tasks import STAGES
from plmscan.plain_text import NotTextError, decoded
from plmscan.probes.words import counted
from plmscan.reports.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plmscan.evidence import Verdict
    from plmscan.fleet.cluster import RayCluster
    from plmscan.fleet.drift import Drift
    from plmscan.fleet.ledger import Ledger, Row
    from plmscan.fleet.questions import Question
    from plmscan.fleet.tasks import Stages

__all__ = ["Fleet", "run", "told_status"]

_SILENCE = 10.0
"""Seconds between two lines of a log."""
_GLANCE = 1.0
"""The same at a terminal, where the line is written over."""
_STDIN = "-"
_RUNNING = 20
"""Running models that a status names."""


@dataclass(frozen=True)
class Fleet:
    """What the command line asks for."""

    out: Path
    """Folder for reports, index and summary."""
    models: tuple[str, ...] = ()
    """Models that are named; ``-`` stands for those of stdin."""
    models_file: Path | None = None
    """File that lists models, one a line."""
    trees: tuple[Path, ...] = ()
    """Folders that hold models."""
    queries: tuple[str, ...] = ()
    """Queries to the Hub."""
    mlflow: str | None = None
    """Filter of MLflow's registry; None not to ask it."""
    config: Path | None = None
    """Configuration that is named; None to look for one."""
    baseline: Path | None = None
    """Known findings; None for those that the configuration names."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that were given, by the names of `plmscan.scan.Settings`."""
    ray: str = "local"
    """Which cluster."""
    jobs: int | None = None
    """Models to search at a time; None for as many as fit."""
    gpus: float | None = None
    """GPUs of one model; None for one where there are any."""
    anew: bool = False
    """Whether answers of an earlier run are forgotten."""
    retry: bool = False
    """Whether inconclusive ones are."""
    stop_after: float | None = None
    """Seconds after which nothing new is begun."""
    since: Path | None = None
    """Folder of an earlier fleet to compare with."""
    margin_factor: float = 2.0
    """How much nearer to failing, or further from it, is a change."""
    cached: bool = True
    """Whether verdicts of earlier scans count."""
    quiet: bool = False
    """Whether to tell no progress."""


def run(fleet: Fleet, stages: Stages = STAGES) -> Verdict:
    """Answer what was asked, go on from what is answered, and write the summary.

    Raises:
        PlmscanError: no model is named, the cluster cannot be reached, or the folder not be used.
    """
    before = None if fleet.since is None else _rows_of(fleet.since)
    asked = _questions(fleet)
    with opened(fleet.out) as ledger:
        if fleet.anew:
            ledger.forget()
        todo = ledger.enrol(asked, again=fleet.retry)
        say(_begun(fleet.out, len(asked), len(todo)))
        try:
            if todo and ended_by(asked, ledger) is None:
                _answer(fleet, todo, ledger, stages)
        finally:
            summary = _summary(ledger, before, fleet.margin_factor)
            write_summary(summary, ledger)
        if (culprit := ended_by(asked, ledger)) is not None:
            say(f"note: {culprit} did not pass, and with --fail-fast nothing more is begun.")
        for line in (summary.told, *summary.lines()):
            say(line)
        say(f"{summary.verdict.name}: the reports are in {fleet.out}, see summary.html there.")
        return summary.verdict


def told_status(folder: Path) -> Iterator[str]:
    """How the fleet of ``folder`` stands, a line each.

    Raises:
        FleetError: there is none.
    """
    with read_ledger(folder) as ledger:
        yield Standing.of(ledger).told()
        if dashboard := ledger.noted("dashboard"):
            yield f"Ray's dashboard: {dashboard}"
        rows = [row for row in ledger.rows() if row.position is not None]
    busy = [row for row in rows if row.stage in ("fetch", "examine", "search")]
    for row in busy[:_RUNNING]:
        again = f" (attempt {row.attempts})" if row.attempts > 1 else ""
        yield f"  {row.stage:<8} {visible(row.name)}{again}"
    if len(busy) > _RUNNING:
        yield f"  and {len(busy) - _RUNNING} more"
    for row in rows:
        if row.verdict == "fail":
            yield f"  FAIL     {visible(row.name)}: {visible(row.reason or '')}"


def _questions(fleet: Fleet) -> tuple[Question, ...]:
    """A question about every model that is named."""
    offline = bool(fleet.settings.get("offline"))
    sizes: dict[str, int] = {}
    named = [model for one in fleet.models for model in _named(one)]
    named += [model for tree in fleet.trees for model in models_below(tree)]
    for text in fleet.queries:
        query = HubQuery.of(text)
        sizes |= dict(models_of(query, offline=offline))
    named += sizes
    named += [] if fleet.mlflow is None else registered(fleet.mlflow)
    asked = Asked(
        models=tuple(named),
        models_file=fleet.models_file,
        config=fleet.config,
        baseline=fleet.baseline,
        options=fleet.settings,
    )
    planned = plan(asked, datetime.now().astimezone().date())
    return questions(((j.source, j.settings, j.place) for j in planned.jobs), sizes)


def _named(model: str) -> list[str]:
    """The model, or those of stdin.

    Raises:
        FleetError: there are none.
    """
    if model != _STDIN:
        return [model]
    try:
        lines = decoded(sys.stdin.buffer.read()).splitlines()
    except NotTextError as error:
        msg = f"The list of models on stdin cannot be read: {error}."
        raise FleetError(msg, "Give UTF-8 text with a model on each line.") from error
    found = [name for line in lines if (name := line.partition("#")[0].strip())]
    if not found:
        msg = "There are no models on stdin."
        raise FleetError(msg, "Write a model on each line.")
    return found


def _answer(fleet: Fleet, todo: list[Question], ledger: Ledger, stages: Stages) -> None:
    """Have the cluster answer the questions that are left."""
    cache = Store(store_folder().absolute()) if fleet.cached else None
    limits = Limits(str(Path.cwd()), cache, fleet.jobs, fleet.gpus, fleet.stop_after)
    ledger.note("began", time.time())
    with _watched(fleet) as tell, joined(fleet.ray) as cluster:
        ledger.note("dashboard", cluster.dashboard)
        if cluster.dashboard:
            tell(f"Ray's dashboard is at {cluster.dashboard}.")
        course = Course(todo, ledger, cluster, limits, stages)
        course.run(_teller(ledger, cluster, tell))


def _teller(ledger: Ledger, cluster: RayCluster, tell: Callable[[str], None]) -> Callable[[], None]:
    """Tells now and then how the fleet stands."""
    told = time.monotonic()

    def step() -> None:
        nonlocal told
        pause = _GLANCE if is_terminal(sys.__stderr__) else _SILENCE
        if time.monotonic() - told < pause:
            return
        told = time.monotonic()
        standing = Standing.of(ledger)
        cluster.publish(standing.counts)
        tell(standing.told())

    return step


@contextmanager
def _watched(fleet: Fleet) -> Iterator[Callable[[str], None]]:
    """Tell progress on stderr, and have everything that Ray prints go to ``ray.log`` instead."""
    stderr, at_terminal = sys.stderr, is_terminal(sys.stderr)

    def tell(line: str) -> None:
        if fleet.quiet:
            return
        with redirect_stderr(stderr):
            if at_terminal:
                stderr.write(f"\r\x1b[2Kplmscan: {visible(line)}")
                stderr.flush()
            else:
                say(line)

    log_file = fleet.out / "ray.log"
    with log_file.open("a", encoding="utf-8") as log, redirect_stderr(log), redirect_stdout(log):
        yield tell
    if at_terminal and not fleet.quiet:
        stderr.write("\n")


def _begun(out: Path, asked: int, todo: int) -> str:
    """What there is to do."""
    if not todo:
        return f"{counted(asked, 'model')}: all are answered in {out}."
    known = f", {asked - todo} are answered in {out}" if asked > todo else ""
    return f"{counted(todo, 'model')} to check{known}."


def _rows_of(folder: Path) -> list[Row]:
    """The models of an earlier fleet."""
    with read_ledger(folder) as ledger:
        return list(ledger.rows())


def _summary(ledger: Ledger, before: list[Row] | None, factor: float) -> Summary:
    """What is known of the models of this run."""
    rows = tuple(row for row in ledger.rows() if row.position is not None)
    changed: tuple[Drift, ...] | None = None
    if before is not None:
        changed = drifts(before, rows, factor)
    return Summary(rows, changed)
