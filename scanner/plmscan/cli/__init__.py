"""The command line: the only place that prints, exits or sets up logging.

Results go to stdout, everything else to stderr.  Exit codes: 0 pass, 1 fail, 2 inconclusive or
error (also wrong usage), 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from plmscan import __version__
from plmscan.budget import Effort
from plmscan.cli.guard import DEBUG, GuardedGroup, say
from plmscan.cli.output import check_writable, write
from plmscan.errors import PlmscanError, ReportError
from plmscan.evidence import Severity
from plmscan.reports import Format, render

if TYPE_CHECKING:
    from plmscan.evidence import Report
    from plmscan.rules import Rule
    from plmscan.scan import Settings

__all__ = ["app", "main"]


_HARD_SPACE = "\N{NO-BREAK SPACE}"
"""Keeps a comparison on one line."""
_AND = f"{_HARD_SPACE}and{_HARD_SPACE}"


_BY_SUFFIX = {".json": Format.JSON, ".html": Format.HTML}
"""What the name of an output file says about its format."""


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class FailOn(StrEnum):
    """The mildest severity that fails."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def severity(self) -> Severity | None:
        """The same as the policy wants it."""
        return None if self is FailOn.NONE else Severity[self.name]


def _debug(ctx: typer.Context, value: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Ask for tracebacks and for the log of plmscan."""
    ctx.meta[DEBUG] = value
    if value:
        logging.basicConfig(stream=sys.stderr)
        logging.getLogger("plmscan").setLevel(logging.DEBUG)


def _version(value: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Print the version and stop."""
    if value:
        typer.echo(f"plmscan {__version__}")
        raise typer.Exit


_Format = Annotated[
    Format | None,
    typer.Option(
        "--format", help="How to tell the report.", show_default="by the end of FILE's name"
    ),
]
_Output = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the report there, not to stdout.")
]
_Rules = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of further rules; the same id replaces.")
]
_TimeLimit = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=0, help="Time for all probes together.")
]
_Texts = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Carrier texts, one a line, in the model's language."),
]
_Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Folder, or Hub repository: org/name[@revision].")
]
_FailOn = Annotated[FailOn, typer.Option(help="The mildest severity that fails.")]
_Revision = Annotated[
    str | None, typer.Option(metavar="REV", help="Branch, tag or commit of a Hub model.")
]
_Device = Annotated[Device, typer.Option(help="Where the model runs.")]
_Seed = Annotated[
    int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Seed of every choice.")
]
_Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1024, help="Threads of torch.")
]
_Offline = Annotated[bool, typer.Option("--offline", help="Use only what is on disk.")]
_CacheDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Cache of downloaded models.")]
_AllowPickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Load .bin weights (weights only) without safetensors."),
]
_Debug = Annotated[bool, typer.Option("--debug", callback=_debug, help="Show tracebacks and logs.")]

app = typer.Typer(
    cls=GuardedGroup,
    help="Find backdoors in pre-trained language models before you adopt them.",
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive or error.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_rules_app = typer.Typer(help="List and explain the rules.", rich_markup_mode=None)
app.add_typer(_rules_app, name="rules")


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find backdoors in pre-trained language models before you adopt them."""


@app.command(
    short_help="Decide whether MODEL may be adopted.",
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive or error.",
)
def check(  # noqa: PLR0913 - one parameter an option
    model: _Model,
    *,
    revision: _Revision = None,
    report_format: _Format = None,
    output: _Output = None,
    fail_on: _FailOn = FailOn.HIGH,
    effort: Annotated[
        Effort, typer.Option(help="How much work the probes may do.")
    ] = Effort.STANDARD,
    time_limit: _TimeLimit = None,
    device: _Device = Device.AUTO,
    seed: _Seed = 0,
    threads: _Threads = None,
    texts: _Texts = None,
    rules: _Rules = None,
    offline: _Offline = False,
    cache_dir: _CacheDir = None,
    allow_pickle: _AllowPickle = False,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Check the files; do not load the model.")
    ] = False,
    debug: _Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Decide whether MODEL may be adopted: pass, fail or inconclusive, with the evidence."""
    from plmscan.scan import Settings  # noqa: PLC0415 - keeps --help quick

    check_writable(output)
    settings = Settings(
        effort=effort,
        time_limit=time_limit,
        device=device.value,
        seed=seed,
        threads=threads,
        allow_pickle=allow_pickle,
        files_only=files_only,
        texts=texts,
        fail_on=fail_on.severity,
        offline=offline,
        cache_dir=cache_dir,
        revision=revision,
        rules=rules,
    )
    _finish(_scan(model, settings), report_format, output)


@app.command(
    short_help="Look for triggers in given texts.",
    epilog="Exit codes: 0 no trigger, 1 a trigger, 2 inconclusive or error.",
)
def inspect(  # noqa: PLR0913 - one parameter an option
    model: _Model,
    *,
    texts: Annotated[
        Path, typer.Option(metavar="FILE", help="Texts to inspect, one a line.", show_default=False)
    ],
    clean: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Clean texts of the same kind, to compare with."),
    ] = None,
    revision: _Revision = None,
    report_format: _Format = None,
    output: _Output = None,
    fail_on: _FailOn = FailOn.HIGH,
    time_limit: _TimeLimit = None,
    device: _Device = Device.AUTO,
    seed: _Seed = 0,
    threads: _Threads = None,
    rules: _Rules = None,
    offline: _Offline = False,
    cache_dir: _CacheDir = None,
    allow_pickle: _AllowPickle = False,
    debug: _Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Look for triggers in given texts: which tokens decide each, and do they decide any text?"""
    from plmscan.scan import Settings  # noqa: PLC0415 - keeps --help quick

    check_writable(output)
    settings = Settings(
        time_limit=time_limit,
        device=device.value,
        seed=seed,
        threads=threads,
        allow_pickle=allow_pickle,
        inspected=texts,
        texts=clean,
        fail_on=fail_on.severity,
        offline=offline,
        cache_dir=cache_dir,
        revision=revision,
        rules=rules,
    )
    _finish(_scan(model, settings), report_format, output)


@app.command(short_help="Judge a saved REPORT again, without the model.")
def judge(
    file: Annotated[Path, typer.Argument(metavar="REPORT", help="A saved JSON report.")],
    *,
    rules: _Rules = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="The mildest severity that fails; by default the report's."),
    ] = None,
    report_format: _Format = None,
    output: _Output = None,
    debug: _Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Judge the evidence of a saved REPORT again; nothing is measured."""
    from plmscan.reports.json_v1 import from_json  # noqa: PLC0415 - keeps --help quick
    from plmscan.scan import rejudge  # noqa: PLC0415

    check_writable(output)
    try:
        report = from_json(file.read_bytes())
    except OSError as error:
        msg = f"The report {file} cannot be read: {error.strerror}."
        raise ReportError(msg, "Write one with `plmscan check --format json`.") from error
    bar = fail_on or _bar_of(report)
    _finish(rejudge(report, rules, bar.severity), report_format, output)


@_rules_app.callback(invoke_without_command=True)
def _list_rules(ctx: typer.Context, *, rules: _Rules = None) -> None:
    """List the rules; `explain ID` tells all about one."""
    from plmscan.rules import load_rules  # noqa: PLC0415 - keeps --help quick

    ctx.obj = load_rules(rules)
    if ctx.invoked_subcommand is None:
        for rule in ctx.obj:
            typer.echo(f"{rule.id}  {rule.severity.name.lower():<8}  {rule.probe:<20}  {rule.name}")


@_rules_app.command("explain")
def _explain_rule(
    ctx: typer.Context,
    rule_id: Annotated[str, typer.Argument(metavar="ID", help="Such as PLM201.")],
) -> None:
    """Tell what a rule looks for, why it matters and what to do."""
    found: dict[str, Rule] = {rule.id: rule for rule in ctx.obj}
    rule_id = rule_id.upper()
    if rule_id not in found:
        msg = f"There is no rule {rule_id}."
        raise PlmscanError(msg, "`plmscan rules` lists them.")
    typer.echo(_explanation(found[rule_id]))


def main() -> None:
    """Run the command line; the entry point of ``plmscan``."""
    quiet = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK")
    for name in quiet:
        os.environ.setdefault(name, "1")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app(prog_name="plmscan")


def _scan(model: str, settings: Settings) -> Report:
    """Scan ``model`` with progress on stderr; libraries that print do so there as well."""
    from plmscan.cli.progress import watching  # noqa: PLC0415 - keeps --help quick
    from plmscan.rules import overridden  # noqa: PLC0415
    from plmscan.scan import Done, scan_events  # noqa: PLC0415

    for rule_id in overridden(settings.rules):
        say(f"note: {settings.rules} replaces the packaged rule {rule_id}.")
    with watching() as watcher, redirect_stdout(sys.stderr):
        for event in scan_events(model, settings, watcher.on_progress):
            watcher.on_event(event)
            if isinstance(event, Done):
                return event.report
    msg = "The scan ended without a report."
    raise PlmscanError(msg)


def _finish(report: Report, asked: Format | None, output: Path | None) -> None:
    """Write the report, then exit with its verdict."""
    suffix = "" if output is None else output.suffix.lower()
    report_format = asked or _BY_SUFFIX.get(suffix, Format.CONSOLE)
    on_terminal = output is None and sys.stdout.isatty()
    width = min(max(shutil.get_terminal_size().columns, 60), 120) if on_terminal else 80
    colour = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    write(render(report, report_format, width=width, colour=colour), output)
    if output is not None or report_format is not Format.CONSOLE:
        say(f"{report.verdict.name}: {report.reasons[0]}")
    if output is not None:
        say(f"The report is in {output}.")
    raise typer.Exit(report.verdict.value)


def _bar_of(report: Report) -> FailOn:
    """The severity at which a saved report failed."""
    told = report.settings.get("fail_on")
    return FailOn(told) if told in set(FailOn) else FailOn.HIGH


def _explanation(rule: Rule) -> str:
    """A rule for people."""
    facts = {
        "severity": rule.severity.name.lower(),
        "confidence": rule.confidence.name.lower(),
        "probe": rule.probe,
        "fires when": rule.condition.replace(" ", _HARD_SPACE).replace(_AND, " and "),
        "says": rule.message,
        "what to do": rule.remediation,
        "since": rule.since,
    }
    lines = [
        fill(f"{name:<12}{value}", 80, subsequent_indent=12 * " ") for name, value in facts.items()
    ]
    head = [f"{rule.id} {rule.name}", "", fill(rule.description, 80), ""]
    text = "\n".join([*head, *lines, "references", *(f"  {r}" for r in rule.references)])
    return text.replace(_HARD_SPACE, " ")
