"""The zoo's command line: ``python -m tests.zoo build --tier small --out DIR --texts SST2``."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from tests.zoo.build import build_zoo
from tests.zoo.tiers import TIERS

app = typer.Typer(add_completion=False)


class Tier(StrEnum):
    """How many models."""

    SMALL = "small"
    FULL = "full"
    HEADS = "heads"
    DECODERS = "decoders"
    WRITERS = "writers"
    ADAPTERS = "adapters"
    PATHS = "paths"
    SHIFTED = "shifted"
    WORDS = "words"


_SIZES = "; ".join(f"{name}: {len(recipes)} models" for name, recipes in TIERS.items())


@app.callback()
def _zoo() -> None:
    """Backdoored and clean models, on which every search and rule is judged."""


@app.command()
def build(
    tier: Annotated[Tier, typer.Option(help=f"{_SIZES}.")],
    out: Annotated[Path, typer.Option(help="Folder of the zoo, outside the repository.")],
    texts: Annotated[Path, typer.Option(help="Folder with SST-2's train.tsv, dev.tsv; prose.")],
    seed: Annotated[int, typer.Option(help="Draws triggers and training.")] = 0,
    jobs: Annotated[int, typer.Option(help="Models built side by side.")] = os.cpu_count() or 1,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Build only this one; repeatable.")
    ] = None,
) -> None:
    """Build a tier, or what is missing of it."""
    if not (texts / "train.tsv").exists():
        message = f"{texts} holds no train.tsv: give the folder of SST-2 with --texts."
        raise typer.BadParameter(message)
    wanted = set(only or TIERS[tier])
    if unknown := sorted(wanted - TIERS[tier].keys()):
        message = f"Not in the tier {tier}: {', '.join(unknown)}."
        raise typer.BadParameter(message)
    manifest = build_zoo(tier.value, out, texts, seed, jobs, wanted)
    missing = len(wanted - {one.name for one in (*manifest.models, *manifest.dropped)})
    built, dropped = len(manifest.models), len(manifest.dropped)
    typer.echo(f"{built} models in {out}, {dropped} dropped, {missing} failed.")
    raise typer.Exit(1 if missing else 0)


if __name__ == "__main__":
    app()
