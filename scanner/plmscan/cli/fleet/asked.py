"""Options of ``plmscan fleet`` that no other command has, as typer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Address",
    "AtOnce",
    "Gpus",
    "MarginFactor",
    "Out",
    "Queries",
    "Registered",
    "Resume",
    "Retry",
    "Since",
    "StopAfter",
    "Trees",
]

Out = Annotated[
    Path,
    typer.Option(metavar="DIR", help="Folder for reports, index and summary.", show_default=False),
]
Trees = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Every model at or below this folder; may be repeated."),
]
Queries = Annotated[
    list[str] | None,
    typer.Option(
        metavar="QUERY",
        help="Models of the Hub: author=A,task=T,library=L,search=S,sort=downloads,limit=1000; "
        "may be repeated.",
    ),
]
Registered = Annotated[
    str | None,
    typer.Option(metavar="FILTER", help="Registered models of MLflow by its own filter, or all."),
]
Address = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Ray cluster: an address, auto to look for one, or local to start one here.",
    ),
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Models searched at a time (as many as cores and memory hold)."
    ),
]
Gpus = Annotated[
    float | None,
    typer.Option(
        metavar="N", min=0, help="GPUs, or a share of one, for a search (1 if there are any)."
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--restart", help="Go on from what DIR holds, or ask about every model anew."
    ),
]
Retry = Annotated[bool, typer.Option("--retry", help="Check again what was inconclusive.")]
StopAfter = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", min=0, help="Begin nothing new after so long."),
]
Since = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="An earlier fleet: tell what changed, and judge by that."),
]
MarginFactor = Annotated[
    float,
    typer.Option(
        metavar="X", min=1.01, help="How much nearer to failing, or further, is a change."
    ),
]
