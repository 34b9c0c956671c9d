"""What a purified model says of itself: where it comes from, what was done, and how it did."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from plmscan.version import __version__

if TYPE_CHECKING:
    from plmscan.purify.outcome import Purification
    from plmscan.purify.rounds import Round
    from plmscan.purify.trial import Trial
    from plmscan.scan import Settings
    from plmscan.source import Artifact

__all__ = ["SCHEMA", "provenance"]

SCHEMA = "plmscan.purified/v1"
"""Name and version of the format."""


def provenance(done: Purification, artifact: Artifact, settings: Settings) -> dict[str, Any]:
    """Everything that somebody needs who wants to do it again."""
    return {
        "schema": SCHEMA,
        "plmscan": __version__,
        "model": artifact.id,
        "revision": artifact.revision,
        "files": {file.path: file.sha256 for file in artifact.files},
        "settings": settings.told(),
        "before": _told(done.before),
        "rounds": [_round(one) for one in done.rounds],
        "changed": list(done.changed),
    }


def _round(done: Round) -> dict[str, Any]:
    """One method that was tried."""
    report = done.report
    return {
        "method": str(done.method),
        "triggers": [one.text for one in done.suspects],
        "after": _told(done.trial),
        "scan": None if report is None else report.verdict.name.lower(),
        "seed": None if report is None else report.settings.get("seed"),
        "reasons": [] if report is None else list(report.reasons),
    }


def _told(trial: Trial) -> object:
    """The numbers of a trial."""
    return _finite(asdict(trial))


def _finite(value: object) -> object:
    """The same with None for what JSON has no number for: the scatter of what moves nothing."""
    match value:
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
