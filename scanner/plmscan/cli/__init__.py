"""The command line: the only place that prints, exits or sets up logging.

Results go to stdout, everything else to stderr.  Exit codes: 0 pass, 1 fail, 2 inconclusive or
error (also wrong usage), 130 interrupted; of several models the worst: a fail, then inconclusive.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from plmscan.cli import options as ask
from plmscan.cli.fleet.command import fleet_app
from plmscan.cli.given import Checking, Failing, given
from plmscan.cli.guarding.command import guard as guard_texts
from plmscan.cli.rules import rules_app
from plmscan.cli.spread import spread
from plmscan.cli.terminal.delivery import Delivery
from plmscan.cli.terminal.failures import ERROR, CommandGroup, mistake
from plmscan.cli.terminal.stderr import say
from plmscan.errors import PlmscanError, WorkerError
from plmscan.probes.words import counted
from plmscan.reports import Detail
from plmscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plmscan.cli.scanning.plan import Asked
    from plmscan.cli.scanning.store import Store
    from plmscan.survey import Survey

__all__ = ["app", "leave", "main", "run"]


def _version(value: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Print the version and stop."""
    if value:
        typer.echo(f"plmscan {__version__}")
        raise typer.Exit


_SavedReport = Annotated[Path, typer.Argument(metavar="REPORT", help="A saved JSON report.")]

app = typer.Typer(
    cls=CommandGroup,
    help="Find backdoors in pre-trained language models before you adopt them.",
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive or error.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(rules_app, name="rules")
app.add_typer(fleet_app, name="fleet")


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find backdoors in pre-trained language models before you adopt them."""


@app.command(
    short_help="Decide whether models may be adopted.",
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive or error; of several models the worst, and "
    "a fail is worse than inconclusive.",
)
@spread
def check(
    models: ask.Models = None,
    *,
    models_file: ask.ModelsFile = None,
    revision: ask.Revision = None,
    report_format: ask.AskedFormat = None,
    output: ask.Output = None,
    report: ask.MoreReports = None,
    attest: ask.Attest = None,
    failing: Failing,
    jobs: ask.Jobs = None,
    checking: Checking,
    quiet: ask.Quiet = False,
    verbose: ask.Verbose = False,
    debug: ask.Debug = False,
) -> None:
    """Decide whether each MODEL may be adopted: pass, fail or inconclusive, with the evidence."""
    detail = _detail(quiet=quiet, verbose=verbose)
    delivery = Delivery.of(report_format, output, report or (), attest, detail)
    _start_worker()
    settings = given(revision=revision) | failing.settings | checking.settings
    asked = _asked(models, models_file, checking.config, checking.baseline, settings, jobs)
    cache = None if checking.no_cache else _store()
    _finish(_surveyed(asked, detail, cache, debug=debug), delivery)


@app.command(
    short_help="Look for triggers in given texts.",
    epilog="Exit codes: 0 no trigger, 1 a trigger, 2 inconclusive or error.",
)
def inspect(
    model: ask.Model,
    *,
    texts: Annotated[
        Path, typer.Option(metavar="FILE", help="Texts to inspect, one a line.", show_default=False)
    ],
    clean: ask.Clean = None,
    language: ask.Language = None,
    base: ask.Base = None,
    adapter: ask.Adapter = None,
    revision: ask.Revision = None,
    report_format: ask.AskedFormat = None,
    output: ask.Output = None,
    report: ask.MoreReports = None,
    fail_on: ask.Bar = None,
    time_limit: ask.TimeLimit = None,
    device: ask.AskedDevice = None,
    precision: ask.AskedPrecision = None,
    seed: ask.Seed = None,
    threads: ask.Threads = None,
    used_as: ask.UsedAs = None,
    rules: ask.Rules = None,
    offline: ask.Offline = False,
    cache_dir: ask.CacheDir = None,
    allow_pickle: ask.AllowPickle = False,
    all_files: ask.AllFiles = False,
    quiet: ask.Quiet = False,
    verbose: ask.Verbose = False,
    debug: ask.Debug = False,
) -> None:
    """Look for triggers in given texts: which tokens decide each, and do they decide any text?"""
    _start_worker()
    from plmscan.cli.scanning.plan import Job  # noqa: PLC0415 - keeps --help quick
    from plmscan.cli.scanning.surveying import surveyed  # noqa: PLC0415
    from plmscan.scan import Settings  # noqa: PLC0415

    detail = _detail(quiet=quiet, verbose=verbose)
    delivery = Delivery.of(report_format, output, report or (), None, detail)
    settings = given(
        inspected=texts,
        texts=clean,
        language=language,
        base=base,
        adapter=adapter,
        revision=revision,
        fail_on=fail_on,
        time_limit=time_limit,
        device=device,
        precision=precision,
        seed=seed,
        threads=threads,
        used_as=used_as,
        rules=rules,
        cache_dir=cache_dir,
        offline=offline,
        allow_pickle=allow_pickle,
        all_files=all_files,
    )
    _finish(surveyed([Job(model, Settings(**settings))], detail, debug=debug), delivery)


app.command(
    "guard",
    short_help="Look at texts before a model reads them.",
    epilog="Exit codes: 0 no trigger, 1 a trigger, 2 a line that cannot be read, or an error.",
)(guard_texts)


@app.command(
    short_help="Train the triggers of a REPORT out of a model.",
    epilog="Exit codes: 0 purified, 1 triggers are left, 2 inconclusive or error.",
)
def purify(
    model: ask.Model,
    *,
    report: Annotated[Path, typer.Option(metavar="FILE", help="JSON report of a check of MODEL.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="New folder for the model.")
    ],
    reference: ask.Reference = None,
    used_as: ask.UsedAs = None,
    texts: ask.Texts = None,
    language: ask.Language = None,
    effort: ask.AskedEffort = None,
    time_limit: ask.WholeTime = None,
    revision: ask.Revision = None,
    device: ask.AskedDevice = None,
    precision: ask.AskedPrecision = None,
    seed: ask.Seed = None,
    threads: ask.Threads = None,
    rules: ask.Rules = None,
    offline: ask.Offline = False,
    cache_dir: ask.CacheDir = None,
    debug: ask.Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Write a copy of MODEL that has forgotten the triggers, if a new scan passes it."""
    from plmscan.cli.purifying import purified, told  # noqa: PLC0415 - keeps --help quick
    from plmscan.scan import Settings  # noqa: PLC0415

    settings = given(
        reference=reference,
        used_as=used_as,
        texts=texts,
        language=language,
        effort=effort,
        time_limit=time_limit,
        revision=revision,
        device=device,
        precision=precision,
        seed=seed,
        threads=threads,
        rules=rules,
        offline=offline,
        cache_dir=cache_dir,
    )
    done = purified(model, report, output, Settings(**settings))
    for line in told(done, output):
        typer.echo(line)
    raise typer.Exit(done.verdict.value)


@app.command(short_help="Judge a saved REPORT again, without the model.")
def judge(
    file: _SavedReport,
    *,
    rules: ask.Rules = None,
    fail_on: Annotated[
        ask.FailOn | None,
        typer.Option(help="The mildest severity that fails; by default the report's."),
    ] = None,
    baseline: ask.Baseline = None,
    report_format: ask.AskedFormat = None,
    output: ask.Output = None,
    report: ask.MoreReports = None,
    attest: ask.Attest = None,
    debug: ask.Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Judge the evidence of a saved REPORT again; nothing is measured."""
    from plmscan.cli.scanning.saved import judged, read_saved  # noqa: PLC0415 - keeps --help quick

    delivery = Delivery.of(report_format, output, report or (), attest)
    _finish(judged(read_saved(file), rules, baseline, fail_on), delivery)


@app.command(short_help="Pin revisions and digests of the configured models.")
def lock(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Those of the configuration if none is named."),
    ] = None,
    *,
    config: ask.Configuration = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The lock file (plmscan.lock)."),
    ] = None,
    signers: ask.Signers = None,
    offline: ask.Offline = False,
    cache_dir: ask.CacheDir = None,
    allow_pickle: ask.AllowPickle = False,
    all_files: ask.AllFiles = False,
    quiet: ask.Quiet = False,
    debug: ask.Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Write plmscan.lock: commit and file digests of each model; a later check reports drift."""
    from plmscan.cli.locking import lock_models  # noqa: PLC0415 - keeps --help quick

    settings = given(
        signers=signers,
        offline=offline,
        cache_dir=cache_dir,
        allow_pickle=allow_pickle,
        all_files=all_files,
    )
    detail = _detail(quiet=quiet, verbose=False)
    path, count = lock_models(_asked(models, None, config, None, settings), output, detail)
    say(f"{path} locks {counted(count, 'model')}. Commit the file.")


@app.command(short_help="Write a baseline: what is known today does not fail tomorrow.")
def baseline(
    file: _SavedReport,
    *,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The baseline.")] = Path(
        "plmscan-baseline.json"
    ),
    debug: ask.Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Write the findings of a saved REPORT as known ones, for `check --baseline`."""
    from plmscan.cli.scanning.saved import read_saved  # noqa: PLC0415 - keeps --help quick
    from plmscan.config import left_out, write_baseline  # noqa: PLC0415

    survey = read_saved(file)
    known = counted(write_baseline(output, survey), "known finding")
    say(f"{output} holds {known}. Look at each, then commit the file.")
    for remark in left_out(survey):
        say(f"note: {remark}")


@app.command(short_help="Look at versions, device, caches and the Hub.")
def doctor(
    *,
    offline: ask.Offline = False,
    model_types: ask.ModelTypes = False,
    debug: ask.Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Check that everything is there that a scan needs; exit code 2 if not."""
    from plmscan.cli.doctor import Health, described_types, examine  # noqa: PLC0415 - keeps --help quick

    if model_types:
        for line in described_types():
            typer.echo(fill(line, 80, subsequent_indent=29 * " "))
        return

    health = []
    for symptom in examine(offline=offline):
        health.append(symptom.health)
        mark, name = symptom.health.value, symptom.name
        typer.echo(fill(f"{mark:<6}{name:<16}{symptom.words}", 80, subsequent_indent=22 * " "))
    if Health.BAD in health:
        raise typer.Exit(2)


def run() -> None:
    """Run the command line and leave; the entry point of ``plmscan``."""
    try:
        main()
    except SystemExit as end:
        leave(end.code)


def leave(code: str | int | None) -> NoReturn:
    """End this process at once, when all is told and written.

    Without that the interpreter takes the libraries and the model apart, object by object, which
    takes the better part of a second.
    """
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # closed ones are None
            stream.flush()
    except OSError:  # not all of it was written
        code = code or ERROR
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Run the command line."""
    quiet = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK")
    for name in quiet:
        os.environ.setdefault(name, "1")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        app(prog_name="plmscan")
    except OSError as error:  # help and version are printed before any command runs
        say(f"error: {mistake(error, debug=False).diagnostics()}")
        sys.exit(ERROR)


def _detail(*, quiet: bool, verbose: bool) -> Detail:
    """How much a person wants to be told."""
    if quiet and verbose:
        msg = "--quiet and --verbose contradict each other."
        raise PlmscanError(msg, "Give one of them.")
    if quiet:
        return Detail.BRIEF
    return Detail.FULL if verbose else Detail.NORMAL


def _asked(
    models: list[str] | None,
    models_file: Path | None,
    config: Path | None,
    baseline: Path | None,
    given: Mapping[str, Any],
    jobs: int | None = None,
) -> Asked:
    """What the command line says about which models, and how to check them."""
    from plmscan.cli.scanning.plan import Asked  # noqa: PLC0415 - keeps --help quick

    return Asked(tuple(models or ()), models_file, config, baseline, jobs, given)


def _surveyed(asked: Asked, detail: Detail, cache: Store | None, *, debug: bool) -> Survey:
    """What there is to say of the models of this run, as of today."""
    from plmscan.cli.scanning.plan import plan  # noqa: PLC0415 - keeps --help quick
    from plmscan.cli.scanning.surveying import surveyed  # noqa: PLC0415

    planned = plan(asked, datetime.now().astimezone().date())
    return surveyed(planned.jobs, detail, cache, at_once=planned.at_once, debug=debug)


def _start_worker() -> None:
    """Have a worker under way while everything else is imported and the model is looked for."""
    from plmscan.worker.process import standing_post  # noqa: PLC0415 - keeps --help quick

    with suppress(WorkerError):  # said once it is needed
        standing_post().start()


def _store() -> Store:
    """The cache of verdicts."""
    from plmscan.cli.scanning.store import Store, store_folder  # noqa: PLC0415 - keeps --help quick

    return Store(store_folder())


def _finish(survey: Survey, delivery: Delivery) -> None:
    """Write the reports, then exit with the verdict."""
    delivery.deliver(survey)
    raise typer.Exit(survey.verdict.value)
