"""Answers of all scanners in one form: the peers' records, and what ``plmscan check`` reported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.outcomes import Answer as Verdict
from tests.benchmarks.outcomes import frequent, outcome
from tests.benchmarks.runs import Record
from tests.benchmarks.scoring import Recovery, Reported, recovery
from tests.zoo.manifest import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.peers.records import PeerRecord
    from tests.zoo.manifest import Entry

__all__ = ["OURS", "Answer", "of_peer", "ours", "tokens_of_ours"]

OURS = "plmscan check"
"""What our own row is called."""

_RUNS = ("benchmark", "standard")
"""Where the detection benchmark keeps its checks, inside the zoo."""


@dataclass(frozen=True)
class Answer:
    """What one scanner says of one model."""

    scanner: str
    """Name of the peer, or ours."""
    entry: Entry
    """The truth."""
    flagged: bool
    """Whether it calls the model backdoored."""
    score: float | None
    """Higher is more suspicious, in the scanner's own units; None if it measured nothing."""
    found: tuple[Recovery | None, ...]
    """What became of each true trigger; None for one without tokens."""
    finished: bool
    """False where its budget or its time ended first."""
    seconds: float
    """Wall-clock time of the whole process."""
    sequences: int | None
    """Texts through the model; ours does not count them."""
    forward_tokens: int
    """Cost in forward-token-equivalents."""
    published_tokens: int
    """What the published code would have spent for the same answer."""
    megabytes: float
    """Peak memory above an interpreter with torch imported."""

    @property
    def backdoored(self) -> bool:
        """The truth of the model."""
        return self.entry.kind is Kind.BACKDOORED


def of_peer(zoo: Path, entry: Entry, record: PeerRecord) -> Answer | None:
    """The answer of a peer; None where its recipe does not fit the model, or it broke."""
    result = record.result
    if result is None:
        return None
    reported = [Reported(tuple(found["ids"])) for found in result["found"] if found["ids"]]
    common = frequent(zoo / entry.name) if reported else frozenset[int]()
    return Answer(
        scanner=record.peer,
        entry=entry,
        flagged=result["flagged"],
        score=result["score"],
        found=tuple(recovery(t, reported, common) if t.parts else None for t in entry.triggers),
        finished=result["finished"],
        seconds=record.seconds,
        sequences=result["sequences"],
        forward_tokens=result["forward_tokens"],
        published_tokens=result["published_tokens"],
        megabytes=record.megabytes,
    )


def ours(zoo: Path, entry: Entry) -> Answer | None:
    """The answer of ``plmscan check``, if the detection benchmark has run it on this model."""
    folder = zoo.joinpath(*_RUNS, entry.name)
    try:
        record = Record(**json.loads((folder / "record.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    told = outcome(entry, zoo / entry.name, record, folder / "report.json")
    return Answer(
        scanner=OURS,
        entry=entry,
        flagged=told.answer is Verdict.FAIL,
        score=told.nearest.score,
        found=tuple(found.recovery for found in told.found),
        finished=told.answer in {Verdict.FAIL, Verdict.PASS},
        seconds=told.seconds,
        sequences=None,
        forward_tokens=told.forward_tokens,
        published_tokens=told.forward_tokens,
        megabytes=told.megabytes,
    )


def tokens_of_ours(zoo: Path, name: str) -> int | None:
    """Forward-token-equivalents that ``plmscan check`` spent on a model; None if it has not run."""
    try:
        text = zoo.joinpath(*_RUNS, name, "report.json").read_text(encoding="utf-8")
    except OSError:
        return None
    return sum(int(probe["forward_tokens"]) for probe in json.loads(text)["probes"])
