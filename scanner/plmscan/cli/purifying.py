"""What `plmscan purify` tells: each trigger before and after, clean text, and the new scan."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from plmscan.cli.progress import watching
from plmscan.cli.saved import read_saved
from plmscan.errors import ReportError
from plmscan.purify import purify
from plmscan.reports.visible import visible
from plmscan.reports.wording import short
from plmscan.scan import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from plmscan.purify import Behaviour, Purification, Round
    from plmscan.scan import Settings

__all__ = ["purified", "told"]


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

        return purify(model, report, folder, settings, tell)


def told(done: Purification, folder: Path) -> Iterator[str]:
    """The lines of the answer, the verdict last."""
    for one in done.rounds:
        yield from _round(done, one)
        yield ""
    if done.changed:
        yield f"PURIFIED: {folder} has {len(done.changed)} changed tensors, and a new scan passes."
        yield "That scan found nothing. Triggers that no scan finds may be left."
    else:
        yield f"{done.verdict.name}: nothing was written, since the result does not pass."


def _round(done: Purification, one: Round) -> Iterator[str]:
    """One method."""
    what = {"heads": "the attention heads that the report names", "layers": "all layers"}
    yield f"Training {what[one.method]}, {len(one.learned)} triggers:"
    before = dict(
        zip([t.token_ids for t in done.rounds[0].learned], done.before.triggers, strict=True)
    )
    yield f"  {'trigger':<20}{'D':>16}{'S':>20}{'turned':>16}"
    for trigger, after in zip(one.learned, one.trial.triggers, strict=True):
        known = before.get(trigger.token_ids)
        cells = _cells(known, after)
        mark = "" if after.harmless else "  LEFT"
        yield f"  {visible(trigger.text)[:19]:<20}{cells[0]:>16}{cells[1]:>20}{cells[2]:>16}{mark}"
    left = sum(not variant.harmless for variant in one.trial.variants)
    yield f"  variants: {len(one.trial.variants)}, of which {left} left"
    kept = "" if one.trial.agreement is None else f", {one.trial.agreement:.1%} keep their label"
    yield f"  clean text: cosine {one.trial.cosine:.4f} to what it was{kept}"
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
