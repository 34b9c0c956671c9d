"""What `plmscan purify` tells: each trigger before and after, clean text, and the new scan."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING

from plmscan.cli.scanning.saved import read_saved
from plmscan.cli.terminal.progress import watching
from plmscan.cli.terminal.stderr import tell_bounds
from plmscan.errors import ReportError
from plmscan.probes.words import counted
from plmscan.purify import Method, purify
from plmscan.reports.visible import visible
from plmscan.reports.wording import short
from plmscan.scan import Progress
from plmscan.worker.inside import bound_for, confined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from plmscan.purify import Behaviour, Purification, Round
    from plmscan.scan import Settings
    from plmscan.source import Artifact

__all__ = ["purified", "told"]

_DONE = {
    Method.ROWS: "Word embeddings of the triggers replaced",
    Method.HEADS: "Attention heads trained that the report names",
    Method.LAYERS: "All layers trained",
}


def purified(model: str, file: Path, folder: Path, settings: Settings) -> Purification:
    """Purify ``model`` by the report in ``file``, with progress on stderr.

    Raises:
        PlmscanError: the report, the model or the folder will not do.
    """
    report = read_saved(file).only
    if report is None:
        msg = f"{file} does not hold the report of one model."
        raise ReportError(msg, "Write one with `plmscan check MODEL --report json=FILE`.")
    with watching() as watcher, redirect_stdout(sys.stderr):

        def tell(fraction: float, note: str) -> None:
            watcher.on_progress(Progress("purify", fraction, note))

        return purify(
            model,
            report,
            folder,
            settings,
            tell,
            on_estimate=watcher.on_event,
            confined=partial(_confined, settings.device),
        )


def _confined(device: str, *models: Artifact) -> AbstractContextManager[None]:
    """The bounds of a scan, twice the memory: training takes more, and a new scan stands beside."""
    bound = bound_for(device, *models)
    allowed = None if bound is None else 2 * bound
    tell_bounds(allowed)
    return confined(allowed, *models)


def told(done: Purification, folder: Path) -> Iterator[str]:
    """The lines of the answer, the verdict last."""
    for one in done.rounds:
        yield from _round(done, one)
        yield ""
    if done.changed:
        what = counted(len(done.changed), "changed tensor")
        yield f"PURIFIED: {folder} has {what}, and a new scan passes."
        yield "That scan found nothing. Triggers that no scan finds may be left."
    elif done.ran_out:
        ended = "the time limit ran out before a result had passed a new scan"
        yield f"{done.verdict.name}: nothing was written, since {ended}. Give it more time."
    else:
        yield f"{done.verdict.name}: nothing was written, since the result does not pass."


def _round(done: Purification, one: Round) -> Iterator[str]:
    """One method."""
    yield f"{_DONE[one.method]}, {counted(len(one.suspects), 'trigger')}:"
    first = (suspect.token_ids for suspect in done.rounds[0].suspects)
    before = dict(zip(first, done.before.triggers, strict=True))
    yield f"  {'trigger':<20}{'D':>16}{'S':>20}{'turned':>16}"
    for suspect, after in zip(one.suspects, one.trial.triggers, strict=True):
        cells = _cells(before.get(suspect.token_ids), after)
        mark = "" if after.harmless else "  LEFT"
        yield f"  {visible(suspect.text)[:19]:<20}{cells[0]:>16}{cells[1]:>20}{cells[2]:>16}{mark}"
    left = sum(not variant.harmless for variant in one.trial.variants)
    yield f"  variants: {len(one.trial.variants)}, of which {left} left"
    clean = one.trial.clean
    kept = "" if clean.agreement is None else f", {clean.agreement:.1%} keep their label"
    yield f"  clean text: cosine {clean.cosine:.4f} to what it was{kept}"
    if one.report is not None:
        yield f"  new scan: {one.report.verdict.name}: {visible(one.report.reasons[0])}"


def _cells(before: Behaviour | None, after: Behaviour) -> tuple[str, str, str]:
    """Displacement, scatter and share of turned texts, before and after."""
    turned = "" if after.success is None else f"{after.success:.0%}"
    if before is None:
        return short(after.displacement), short(after.scatter), turned
    had = "" if before.success is None else f"{before.success:.0%} → "
    return (
        f"{short(before.displacement)} → {short(after.displacement)}",
        f"{short(before.scatter)} → {short(after.scatter)}",
        f"{had}{turned}",
    )
