"""What tests of the guard share: reports about tiny models, and texts in disguise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plmscan.evidence import Trigger
from plmscan.source import SourceOptions, resolve
from tests.specimens import hit, report, run

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.evidence import Report

__all__ = ["report_on", "trigger"]


def trigger(
    text: str,
    ids: tuple[int, ...] = (),
    variants: tuple[str, ...] = (),
    *,
    typed: bool = True,
    label: str | None = None,
    core: tuple[str, ...] = (),
) -> Trigger:
    """A trigger as a report names it."""
    measured = ("cls", 41.7, 0.0123, 23.4, 3e-5, 30521)
    more = {"retokenizes": typed, "variants": variants, "target_label": label, "core": core}
    return Trigger(text, ids, *measured, **more)


def report_on(folder: Path | None, *triggers: Trigger) -> Report:
    """The report of a model that fails by ``triggers``; of no model in particular without one."""
    found = report(run(*(replace(hit(one.text), trigger=one) for one in triggers)))
    if folder is None:
        return found
    artifact = resolve(str(folder), SourceOptions())
    return replace(found, model=replace(found.model, id=artifact.id, files=artifact.files))
