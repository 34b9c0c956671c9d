"""What runs on the machines of the cluster: fetching, examining and searching one model.

A task is a plain function of what it is given; what goes wrong with a model is its answer.  The
files are opened by a worker of plmscan (`plmscan.worker`) that belongs to the task's process, so a
fleet has the same walls as ``plmscan check``.
"""

from __future__ import annotations

import os
import platform
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from plmscan.errors import HubBusyError, PlmscanError, in_one_line
from plmscan.fleet.answers import Answer, answer
from plmscan.survey import Entry, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from plmscan.evidence import ProbeRun, Report
    from plmscan.fleet.questions import Question
    from plmscan.scan import Cache, Event
    from plmscan.scan.execution import ModelJob
    from plmscan.scan.forecast import Forecast
    from plmscan.worker.supervisor import Supervisor

_Value = TypeVar("_Value")

__all__ = [
    "STAGES",
    "Answered",
    "Asked",
    "Busy",
    "Ended",
    "Examined",
    "Fetched",
    "Prepared",
    "Stages",
    "examine",
    "fetch",
    "search",
]


@dataclass(frozen=True)
class Asked:
    """A question, and where it was asked."""

    question: Question
    """What."""
    folder: str
    """Working folder of whoever asks, which relative paths count from."""
    cache: Cache | None = None
    """Verdicts of earlier scans; None to measure again."""


@dataclass(frozen=True)
class Fetched:
    """The files are there and hashed."""

    asked: Asked
    """About which model."""
    job: ModelJob
    """What to scan; its rules are left out, since every machine has them."""
    twin: str
    """Everything that the report depends on but for the model's name, hashed."""
    cost: Forecast
    """What searching it will take."""
    takes: int
    """Bytes of memory that the search takes, about."""


@dataclass(frozen=True)
class Prepared:
    """What an examination is given beside the files."""

    fetched: Fetched
    """The model."""
    most: int
    """Bytes of memory of the largest machine."""


@dataclass(frozen=True)
class Examined:
    """The files speak for nothing against loading the model."""

    fetched: Fetched
    """The model, with what is left of its time."""
    runs: tuple[ProbeRun, ...]
    """What the file probes found."""
    threads: int | None = None
    """Threads that the search has where the settings say nothing."""
    seconds: float = 0.0
    """That the examination took."""


@dataclass(frozen=True)
class Answered:
    """The verdict on a model."""

    answer: Answer
    """For the index."""
    text: str
    """The document."""
    lost: str = ""
    """How its worker ended that plmscan did not end; empty where none did."""
    seconds: float = 0.0
    """That its probes took."""
    used: int | None = None
    """Bytes of memory that the search took at most; None where nobody tells."""
    machine: str = ""
    """Name of the machine that answered."""


@dataclass(frozen=True)
class Busy:
    """The host asks to come back later."""

    seconds: float | None
    """When; None if it does not say."""
    answered: Answered
    """What to answer if it never does."""


@dataclass(frozen=True)
class Ended:
    """A task that gave no answer."""

    reason: str
    """Why, in words."""
    by_model: bool
    """Whether its worker died while its machine lived on: the model may be the cause."""


@dataclass(frozen=True)
class Stages:
    """The three steps of a scan, each a function that the cluster can run."""

    fetch: Callable[[Asked], Fetched | Answered | Busy]
    """Find the files, fetch and hash them."""
    examine: Callable[[Prepared], Examined | Answered]
    """Run the file probes."""
    search: Callable[[Examined], Answered]
    """Load the model and search it."""


def fetch(asked: Asked) -> Fetched | Answered | Busy:
    """Find the files of a model, fetch and hash them."""
    _keep_quiet()
    from plmscan.scan import fetched  # noqa: PLC0415 - after the libraries were told to be quiet
    from plmscan.scan.cache import nameless_key_of  # noqa: PLC0415
    from plmscan.scan.forecast import forecast  # noqa: PLC0415
    from plmscan.worker.bounds import Bounds  # noqa: PLC0415

    question = asked.question
    try:
        with _in(asked.folder):
            job = _last(fetched(question.source, question.settings))
        return Fetched(
            asked,
            replace(job, rules=()),
            nameless_key_of(job, _versions()),
            forecast(job.artifact, job.settings),
            Bounds().model_takes(job.artifact, job.reference),
        )
    except HubBusyError as error:
        return Busy(error.seconds, _refused(asked, error))
    except PlmscanError as error:
        return _refused(asked, error)
    except Exception as error:  # noqa: BLE001 - the other models may fare better
        return _refused(asked, _mistake(error))


def examine(prepared: Prepared) -> Examined | Answered:
    """Run the file probes of a model, or find its verdict among those of earlier scans."""
    from plmscan.scan import examined  # noqa: PLC0415

    fetched, job = prepared.fetched, _with_rules(prepared.fetched)
    try:
        with _in(fetched.asked.folder):
            key = _key(fetched.asked, job)
            if (kept := _kept(fetched.asked, key)) is not None:
                return _answered(fetched.asked, kept)
            _require_files(job)
            supervisor, began = _supervisor(), time.monotonic()
            runs, ready = _last(examined(job, supervisor))
            if ready is not None and fetched.takes <= prepared.most:
                given = replace(fetched, job=replace(ready, rules=()))
                return Examined(given, runs, seconds=sum(run.seconds for run in runs))
            if ready is not None:
                runs = (*runs, _too_large(fetched.takes, prepared.most))
            job = _later(job, time.monotonic() - began)
            return _concluded(fetched.asked, key, job, runs, supervisor)
    except PlmscanError as error:
        return _refused(fetched.asked, error)
    except Exception as error:  # noqa: BLE001 - the other models may fare better
        return _refused(fetched.asked, _mistake(error))


def search(examined: Examined) -> Answered:
    """Load a model, search it, and judge what was found."""
    from plmscan.worker.process import standing_post  # noqa: PLC0415

    fetched, job = examined.fetched, _with_rules(examined.fetched)
    try:
        with _in(fetched.asked.folder):
            _require_files(job)
            supervisor, began = _supervisor(examined.threads), time.monotonic()
            standing_post().forget_peak()
            measured = _last(supervisor.measure(job, lambda _: None))
            used = standing_post().peak()
            job = _later(job, time.monotonic() - began)
            key, runs = _key(fetched.asked, job), examined.runs + measured
            told = _concluded(fetched.asked, key, job, runs, supervisor)
            return replace(told, used=used)
    except PlmscanError as error:
        return _refused(fetched.asked, error)
    except Exception as error:  # noqa: BLE001 - the other models may fare better
        return _refused(fetched.asked, _mistake(error))


STAGES = Stages(fetch, examine, search)
"""The steps of a real scan."""


def _keep_quiet() -> None:
    """Have the libraries tell nobody of this."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK"):
        os.environ.setdefault(name, "1")


@contextmanager
def _in(folder: str) -> Generator[None]:
    """Stay in ``folder`` inside.

    Raises:
        PlmscanError: this machine does not have it.
    """
    before = Path.cwd()
    try:
        os.chdir(folder)
    except OSError as error:
        msg = f"The machine {platform.node()} does not have the folder {folder}."
        raise PlmscanError(msg, "Share it between all machines of the cluster.") from error
    try:
        yield
    finally:
        os.chdir(before)


def _require_files(job: ModelJob) -> None:
    """Refuse to scan files that another machine has fetched and this one does not see.

    Raises:
        PlmscanError: they are not here.
    """
    for artifact in filter(None, (*job.artifact.stack, job.reference)):
        if not artifact.root.is_dir():
            msg = f"The machine {platform.node()} does not see the files in {artifact.root}."
            raise PlmscanError(msg, "Name a folder with --cache-dir that all machines share.")


def _with_rules(fetched: Fetched) -> ModelJob:
    """What to scan, with the rules of this machine."""
    from plmscan.scan.reporting import rules_for  # noqa: PLC0415

    with _in(fetched.asked.folder):
        return replace(fetched.job, rules=rules_for(fetched.job.settings))


def _kept(asked: Asked, key: str) -> Report | None:
    """The report of an earlier scan of the same files; None without one."""
    return None if asked.cache is None else asked.cache.get(key)


@cache
def _versions() -> dict[str, str]:
    """Versions of plmscan and its libraries."""
    from plmscan.scan.reporting import versions  # noqa: PLC0415

    return versions()


def _key(asked: Asked, job: ModelJob) -> str:
    """What a report is kept under by the rules and versions of this machine; empty without cache.

    So each machine that measures works it out: none keeps a verdict for what others have installed.
    """
    from plmscan.scan.cache import key_of  # noqa: PLC0415

    if asked.cache is None:
        return ""
    return key_of(job.artifact, job.settings, job.rules, _versions(), job.reference)


def _supervisor(threads: int | None = None) -> Supervisor:
    """Whoever has the worker of this process do what a scan asks for.

    A worker keeps the GPUs that it was started with, so another share asks for another worker.
    """
    from plmscan.worker.process import standing_post  # noqa: PLC0415
    from plmscan.worker.supervisor import Supervisor  # noqa: PLC0415

    share, post = os.environ.get("CUDA_VISIBLE_DEVICES"), standing_post()
    if post.share != share:
        post.clear()
        post.share = share
    return Supervisor(post, threads=threads)


def _later(job: ModelJob, seconds: float) -> ModelJob:
    """What to scan, with what is left of its time after ``seconds`` of it."""
    return job if job.seconds is None else replace(job, seconds=max(0.0, job.seconds - seconds))


def _concluded(
    asked: Asked, key: str, job: ModelJob, runs: tuple[ProbeRun, ...], supervisor: Supervisor
) -> Answered:
    """The verdict, kept for later scans if it would come out the same."""
    from plmscan.scan import Desk, accompanied, concluded  # noqa: PLC0415
    from plmscan.scan.cache import is_lasting  # noqa: PLC0415
    from plmscan.worker.supervisor import lost_its_worker  # noqa: PLC0415

    desk = Desk(supervisor, asked.cache)
    runs += _last(accompanied(asked.question.source, job, runs, desk))
    report = concluded(job, runs, supervisor)
    if asked.cache is not None and is_lasting(report):
        asked.cache.put(key, report)
    lost = next((run.reason for run in runs if lost_its_worker(run)), "")
    return replace(_answered(asked, report), lost=lost)


def _too_large(takes: int, most: int) -> ProbeRun:
    """The record of a model that no machine of the cluster has the memory for."""
    from plmscan.scan import not_loaded  # noqa: PLC0415

    reason = (
        f"searching it takes about {takes / 1e9:.1f} GB of memory, and the largest machine of the "
        f"cluster has {most / 1e9:.1f} GB."
    )
    return not_loaded(reason, blocks_pass=True)


def _answered(asked: Asked, report: Report) -> Answered:
    """The answer that a report is."""
    line, text = answer(Entry(report, asked.question.place))
    seconds = round(sum(run.seconds for run in report.probes), 3)
    return Answered(line, text, seconds=seconds, machine=platform.node())


def _refused(asked: Asked, error: PlmscanError) -> Answered:
    """The answer that there is no report."""
    from plmscan.source import name_of  # noqa: PLC0415

    name = name_of(asked.question.source)
    line, text = answer(Entry(Refusal.of(name, error), asked.question.place))
    return Answered(line, text, machine=platform.node())


def _mistake(error: Exception) -> PlmscanError:
    """That plmscan, or a library, did something wrong."""
    msg = f"It broke with {type(error).__name__}: {in_one_line(error, 200)}."
    return PlmscanError(msg, "Check the model by itself (plmscan check --debug) to see why.")


def _last(steps: Generator[Event, None, _Value]) -> _Value:
    """What ``steps`` come to; what they tell on the way is for nobody."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("_Value", end.value)
