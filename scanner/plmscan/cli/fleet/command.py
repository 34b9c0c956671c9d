"""``plmscan fleet`` and ``plmscan fleet status`` at the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from plmscan.cli import options as ask
from plmscan.cli.fleet import asked
from plmscan.cli.given import Checking, Failing
from plmscan.cli.spread import spread
from plmscan.fleet.drift import MARGIN_FACTOR

if TYPE_CHECKING:
    from typer import Context

__all__ = ["fleet_app"]

_RUN, _STATUS = "run", "status"


class _Fleet(TyperGroup):
    """Runs a fleet, unless the first word asks how one stands."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override] # typer's own class
        """Take whatever is no other command for models and options of a run."""
        if args[:1] not in ([_RUN], [_STATUS]):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


fleet_app = typer.Typer(
    cls=_Fleet,
    help="Check all models of a registry on a cluster (extra fleet).",
    rich_markup_mode=None,
    add_completion=False,
)


@fleet_app.command(
    _RUN,
    epilog="`plmscan fleet status DIR` tells from another terminal how far it is. Exit codes: as "
    "check, where a model that is not answered counts as inconclusive; with --since only models "
    "that are new, have other weights, or got worse count.",
)
@spread
def run_fleet(
    models: ask.FleetModels = None,
    *,
    out: asked.Out,
    models_file: ask.ModelsFile = None,
    tree: asked.Trees = None,
    hub: asked.Queries = None,
    mlflow: asked.Registered = None,
    ray: asked.Address = "local",
    jobs: asked.AtOnce = None,
    gpus_per_model: asked.Gpus = None,
    resume: asked.Resume = True,
    retry: asked.Retry = False,
    stop_after: asked.StopAfter = None,
    since: asked.Since = None,
    margin_factor: asked.MarginFactor = MARGIN_FACTOR,
    failing: Failing,
    checking: Checking,
    quiet: ask.Quiet = False,
    debug: ask.Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Check all models of a registry on a Ray cluster; killed or stopped, it goes on from there."""
    from plmscan.cli.fleet.running import Fleet, run  # noqa: PLC0415 - keeps --help quick

    named = Fleet(
        models=tuple(models or ()),
        models_file=models_file,
        trees=tuple(tree or ()),
        queries=tuple(hub or ()),
        mlflow=mlflow,
        config=checking.config,
        baseline=checking.baseline,
        settings=failing.settings | checking.settings,
        out=out,
        ray=ray,
        jobs=jobs,
        gpus=gpus_per_model,
        anew=not resume,
        retry=retry,
        stop_after=stop_after,
        since=since,
        margin_factor=margin_factor,
        cached=not checking.no_cache,
        quiet=quiet,
    )
    raise typer.Exit(run(named).value)


@fleet_app.command(_STATUS, epilog="Exit codes: 0, or 2 if there is no such fleet.")
def fleet_status(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of the fleet.", show_default=False)
    ],
    *,
    debug: ask.Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Tell how far a fleet is, also while it runs."""
    from plmscan.cli.fleet.running import told_status  # noqa: PLC0415 - keeps --help quick

    for line in told_status(folder):
        typer.echo(line)
