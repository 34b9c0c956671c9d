"""Verdicts that need not be measured again.

A report is the same as long as the files, the rules, the settings and the versions are; the key
holds all of them.  What was cut short, broke, or was inconclusive is never kept: it may come out
otherwise the next time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Protocol

from plmscan.evidence import ProbeStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from plmscan.evidence import Report
    from plmscan.rules import Rule
    from plmscan.scan.execution import ModelJob
    from plmscan.scan.settings import Settings
    from plmscan.source import Artifact

__all__ = ["Cache", "is_lasting", "key_of", "key_of_question", "nameless_key_of"]

_UNFINISHED = frozenset({ProbeStatus.FAILED, ProbeStatus.TIMED_OUT})


class Cache(Protocol):
    """Keeps reports by key."""

    def get(self, key: str) -> Report | None:
        """The report that was kept under ``key``; None without one that can be read."""

    def put(self, key: str, report: Report) -> None:
        """Keep ``report``; a cache that cannot be written keeps nothing."""


def key_of(
    artifact: Artifact,
    settings: Settings,
    rules: Collection[Rule],
    versions: Mapping[str, str],
    reference: Artifact | None = None,
) -> str:
    """Everything that a report of ``artifact``, compared with ``reference``, depends on, hashed."""
    if len(artifact.stack) == 1:  # nobody looks at another model
        settings = replace(settings, waivers=replace(settings.waivers, others=()))
    parts = {
        "artifact": _facts(artifact),
        "reference": None if reference is None else _facts(reference),
    }
    return _hashed({**parts, **_asked(settings, rules, versions)})


def nameless_key_of(job: ModelJob, versions: Mapping[str, str]) -> str:
    """The same, but for what the model is called: equal where the report is, that aside.

    A baseline knows its findings by the model's name, so with one the name counts.
    """
    settings = replace(job.settings, revision=None)
    if settings.waivers.known is None:
        settings = replace(settings, waivers=replace(settings.waivers, model=""))
    artifact = replace(job.artifact, id="", revision=None)
    return key_of(artifact, settings, job.rules, versions, job.reference)


def key_of_question(
    source: str, settings: Settings, rules: Collection[Rule], versions: Mapping[str, str]
) -> str:
    """What is asked about ``source``, and by whom it is judged, before anything is fetched."""
    return _hashed({"source": source, **_asked(settings, rules, versions)})


def _asked(
    settings: Settings, rules: Collection[Rule], versions: Mapping[str, str]
) -> dict[str, object]:
    """How a model is scanned and judged."""
    waivers = settings.waivers
    return {
        "settings": settings.told(),
        "texts": [_digest(file) for file in (settings.texts, settings.inspected)],
        "waivers": [_without(asdict(waivers), "today"), waivers.expired()],
        "rules": [rule.model_dump(mode="json") for rule in rules],
        "versions": dict(versions),
        "code": _code(),
    }


def _hashed(parts: Mapping[str, object]) -> str:
    """SHA-256 of ``parts``."""
    told = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()


def is_lasting(report: Report) -> bool:
    """Whether the same scan would come out the same on another day."""
    broken = any(run.status in _UNFINISHED for run in report.probes)
    return report.verdict is not Verdict.INCONCLUSIVE and not broken


@cache
def _code() -> list[str]:
    """Digests of plmscan's own modules and texts: two commits of one version may differ."""
    home = resources.files("plmscan")
    with resources.as_file(home) as folder:
        ours = [*folder.rglob("*.py"), *folder.rglob("*.txt")]
        return [_digest(path) or "" for path in sorted(ours)]


def _facts(artifact: Artifact) -> dict[str, object]:
    """What a report says of the files, wherever they lie on this machine."""
    below = None if artifact.base is None else _facts(artifact.base)
    above = [_facts(adapter) for adapter in artifact.adapters]
    told = asdict(replace(artifact, base=None, adapters=(), programs={}))
    others = {"programs": sorted(artifact.programs), "base": below, "adapters": above}
    return _without(told, "root") | others


def _without(told: dict[str, object], name: str) -> dict[str, object]:
    """``told`` but for one value that changes no report."""
    return {key: value for key, value in told.items() if key != name}


def _digest(file: Path | None) -> str | None:
    """SHA-256 of what ``file`` holds; None without a file."""
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()


def _plain(value: object) -> object:
    """A set or a date, the only values here that JSON does not know, the same every time."""
    return sorted(value) if isinstance(value, frozenset) else str(value)
