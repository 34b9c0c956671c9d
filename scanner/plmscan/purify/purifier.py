"""From a condemned model to one that passes: the least invasive method, and a new scan."""

from __future__ import annotations

import tempfile
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.budget import Budget
from plmscan.carriers import asked_texts
from plmscan.errors import OutOfTimeError, ReportError, UnsupportedModelError
from plmscan.purify.outcome import Purification
from plmscan.purify.provenance import provenance
from plmscan.purify.rounds import Bench
from plmscan.purify.writing import require_new, write_provenance
from plmscan.scan import torch_set_up
from plmscan.source import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from plmscan.evidence import Report
    from plmscan.purify.rounds import Round
    from plmscan.scan import Estimated, Settings
    from plmscan.source import Artifact

__all__ = ["purify"]

_MERGE = (
    "Leave the adapter off. Or merge it into its base (merge_and_unload), check the merged model, "
    "and purify that with its report."
)


def _ignore(_fraction: float, _note: str) -> None:
    """Nobody is watching."""


def _untold(_estimate: Estimated) -> None:
    """Nobody asks how long it will take."""


def _free(*_models: Artifact) -> AbstractContextManager[None]:
    """What this process may do is for the caller to say."""
    return nullcontext()


def purify(  # noqa: PLR0913 - what it is about, and who watches
    source: str,
    report: Report,
    folder: Path,
    settings: Settings,
    on_progress: Callable[[float, str], None] = _ignore,
    *,
    on_estimate: Callable[[Estimated], None] = _untold,
    confined: Callable[..., AbstractContextManager[None]] = _free,
) -> Purification:
    """Write a purified copy of ``source`` to ``folder``; nothing is there unless a new scan passes.

    Args:
        source: the model that ``report`` is about: a folder, or a Hub repository.
        report: what a scan found; it names the triggers.
        folder: a new or empty folder.
        settings: how to load and scan; its ``texts`` are what is learned and tried on, its
            ``reference`` is the clean base whose rows may be put back, and its ``time_limit`` is
            that of all, the new scan of a result included.
        on_progress: told the fraction done, from 0 to 1, and a note; it never falls, and jumps
            ahead where a step is over early.
        on_estimate: told how long all will take, once that is known.
        confined: makes, of the models that have been fetched, a context in which they are opened;
            nothing is fetched inside.

    Raises:
        PlmscanError: the model, the report, the texts, the reference or the folder will not do.
        OutOfTimeError: the time limit ran out before anything was tried.
    """
    given = asked_texts(settings.texts, settings.language)
    artifact = resolve(source, settings.source_options)
    reference = None
    if settings.reference is not None:
        reference = resolve(settings.reference, settings.reference_options)
    require_new(folder, artifact)
    _require_about(report, artifact)
    limit = settings.time_limit
    deadline = None if limit is None else time.monotonic() + limit
    budget = Budget(given or (), settings.effort, settings.seed, deadline, _rising(on_progress))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        confined(*(model for model in (artifact, reference) if model is not None)),
        torch_set_up(settings),
        tempfile.TemporaryDirectory(prefix=".plmscan-", dir=folder.parent) as place,
    ):
        bench = Bench.of(artifact, reference, report, settings, budget, on_estimate)
        before = bench.examiner.examine(bench.teacher, bench.suspects)
        done = Purification(source, before, *_tried(bench, Path(place)))
        if done.passes:
            made = bench.folder(Path(place), len(done.rounds) - 1)
            write_provenance(made, provenance(done, artifact, settings))
            if folder.exists():
                folder.rmdir()
            made.rename(folder)
    return done


def _tried(bench: Bench, place: Path) -> tuple[tuple[Round, ...], bool]:
    """All rounds for which there was time, and whether it ran out before one passed."""
    rounds: list[Round] = []
    with suppress(OutOfTimeError):
        for one in bench.rounds(place):
            rounds.append(one)  # noqa: PERF402 - what came before the time ran out counts
    passes = bool(rounds) and rounds[-1].passes
    return tuple(rounds), bench.budget.is_over and not passes


def _rising(tell: Callable[[float, str], None]) -> Callable[[float, str], None]:
    """``tell``, but never of less than before: a probe of the new scan may begin again."""
    most = 0.0

    def told(fraction: float, note: str) -> None:
        nonlocal most
        most = max(most, fraction)
        tell(most, note)

    return told


def _require_about(report: Report, artifact: Artifact) -> None:
    """Refuse adapters, and a report that is about other weights.

    Raises:
        UnsupportedModelError: it is about an adapter, or about a model with adapters on.
        ReportError: it is about other weights.
    """
    if artifact.is_adapter or report.model.is_stacked:
        msg = "What adapters do cannot be trained out of a model's own weights."
        raise UnsupportedModelError(msg, _MERGE)
    told = {file.path: file.sha256 for file in report.model.files}
    now = {file.path: file.sha256 for file in artifact.files}
    if any(told.get(name) != now[name] for name in artifact.weights):
        msg = "The report is about other weights than the model has."
        raise ReportError(msg, "Check the model again, and purify with that report.")
