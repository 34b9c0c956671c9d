"""The command ``plmscan guard``, as typer wants it told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plmscan.cli import options as ask  # noqa: TC001 - typer reads the annotations
from plmscan.guard.choices import Action, Variants

__all__ = ["guard"]


_Report = Annotated[
    Path,
    typer.Option(
        metavar="FILE", help="JSON report of `plmscan check` about MODEL.", show_default=False
    ),
]
_Texts = Annotated[
    Path | None,
    typer.Option(
        "--in",
        metavar="FILE",
        help="Texts, one a line: as they are, as JSON strings, or as objects with a text.",
        show_default="stdin",
    ),
]
_Labels = Annotated[
    bool,
    typer.Option(
        "--labels",
        "--answers",
        help="Print labels of a classifier, or answers of a model that writes, with "
        "--triggers-only, too.",
    ),
]


def guard(  # noqa: PLR0913 - one parameter an option
    model: ask.Model,
    *,
    report: _Report,
    texts: _Texts = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The answers.", show_default="stdout"),
    ] = None,
    action: Annotated[
        Action, typer.Option(help="What becomes of a text that holds a trigger.")
    ] = Action.NEUTRALISE,
    clean: ask.Clean = None,
    language: ask.Language = None,
    variants: Annotated[
        Variants, typer.Option(help="What to make of weaker inputs that the report lists.")
    ] = Variants.TELL,
    triggers_only: Annotated[
        bool,
        typer.Option("--triggers-only", help="Look for the report's triggers; do not inspect."),
    ] = False,
    labels: _Labels = False,
    mask: Annotated[
        bool, typer.Option("--mask", help="Put the mask token in the place of a trigger.")
    ] = False,
    base: ask.Base = None,
    adapter: ask.Adapter = None,
    revision: ask.Revision = None,
    rules: ask.Rules = None,
    device: ask.AskedDevice = None,
    seed: ask.Seed = None,
    threads: ask.Threads = None,
    offline: ask.Offline = False,
    cache_dir: ask.CacheDir = None,
    allow_pickle: ask.AllowPickle = False,
    debug: ask.Debug = False,  # noqa: ARG001 - its callback does the work
) -> None:
    """Look at texts before MODEL does: known triggers, then tokens that decide a text alone."""
    from plmscan.carriers.languages import known_languages  # noqa: PLC0415
    from plmscan.cli.guarding.streaming import Asked, guard_stream  # noqa: PLC0415 - keeps --help quick
    from plmscan.source import SourceOptions  # noqa: PLC0415

    asked = Asked(
        model=model,
        options=SourceOptions(revision, offline, cache_dir, allow_pickle),
        base=base,
        adapters=tuple(adapter or ()),
        report=report,
        action=action,
        variants=variants,
        clean=clean,
        languages=known_languages(language or ()),
        inspects=not triggers_only,
        labels=labels or not triggers_only,
        mask=mask,
        rules=rules,
        device="auto" if device is None else device.value,
        seed=seed or 0,
        threads=threads,
    )
    raise typer.Exit(guard_stream(asked, texts, output))
