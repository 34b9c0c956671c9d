"""What changed between two runs of a fleet, and what of that is worse."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from plmscan.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plmscan.fleet.ledger import Row

__all__ = ["MARGIN_FACTOR", "Change", "Drift", "drifts", "verdict_of"]

MARGIN_FACTOR = 2.0
"""How much nearer to failing, or further from it, is told without ``--margin-factor``."""
_RANKS = {"pass": 0, "inconclusive": 1, "fail": 2}
"""Verdicts, the better ones first."""


class Change(StrEnum):
    """How a model differs from the earlier run."""

    NEW = "new"
    """The earlier run did not ask about it."""
    WEIGHTS = "other weights"
    """Its weight files are others."""
    VERDICT = "other verdict"
    """Its verdict is another."""
    MARGIN = "other margin"
    """It came nearer to failing, or went further from it."""
    GONE = "gone"
    """Only the earlier run asked about it."""


@dataclass(frozen=True)
class Drift:
    """A model that is not what it was."""

    name: str
    """As it was named."""
    changes: tuple[Change, ...]
    """How it differs; at least one."""
    before: Row | None
    """The earlier run about it; None if it is new."""
    after: Row | None
    """This run about it; None if it is gone."""

    @property
    def told(self) -> str:
        """The changes in words."""
        before, after = self.before, self.after
        words = []
        for change in self.changes:
            if change is Change.VERDICT and before is not None and after is not None:
                words.append(f"{before.verdict} → {after.verdict or 'not answered'}")
            elif change is Change.MARGIN and before is not None and after is not None:
                factor = math.exp(abs((after.margin or 0.0) - (before.margin or 0.0)))
                nearer = (after.margin or 0.0) > (before.margin or 0.0)
                words.append(
                    f"{factor:.1f} times {'nearer to' if nearer else 'further from'} a rule"
                )
            else:
                words.append(str(change))
        return ", ".join(words)

    @property
    def counts(self) -> bool:
        """Whether it is new, has other weights, or got worse: then its verdict counts."""
        if self.after is None:
            return False
        if self.before is None or Change.WEIGHTS in self.changes:
            return True
        return _rank(self.after) > _rank(self.before)


def drifts(
    before: Iterable[Row], after: Iterable[Row], factor: float = MARGIN_FACTOR
) -> tuple[Drift, ...]:
    """The models that changed from the run ``before`` to the run ``after``, in its order.

    A model is the same if it is named the same, or else, without regard to the revision that was
    asked for, if it is the only one of that name in both runs.
    """
    old = [row for row in before if row.position is not None]
    new = [row for row in after if row.position is not None]
    by_name = {row.name: row for row in old}
    only_old, only_new = _only(old), _only(new)
    found, seen = [], set()
    for row in new:
        earlier = by_name.get(row.name)
        if earlier is None and only_new.get(row.model or "") is row:
            earlier = only_old.get(row.model or "")
        if earlier is not None:
            seen.add(earlier.name)
        if changes := _changes(earlier, row, factor):
            found.append(Drift(row.name, changes, earlier, row))
    gone = (Drift(row.name, (Change.GONE,), row, None) for row in old if row.name not in seen)
    return (*found, *gone)


def verdict_of(found: Iterable[Drift]) -> Verdict:
    """The worst verdict of the models that are new, have other weights, or got worse."""
    ranks = [_rank(drift.after) for drift in found if drift.counts and drift.after is not None]
    worst = max(ranks, default=0)
    return next(Verdict[name.upper()] for name, rank in _RANKS.items() if rank == worst)


def _only(rows: Iterable[Row]) -> Mapping[str, Row]:
    """Models by what reports call them, those of which there is one."""
    rows = list(rows)
    counts = Counter(row.model for row in rows)
    return {row.model: row for row in rows if row.model and counts[row.model] == 1}


def _changes(before: Row | None, after: Row, factor: float) -> tuple[Change, ...]:
    """How a model differs."""
    if before is None:
        return (Change.NEW,)
    found = []
    if before.digest and after.digest and before.digest != after.digest:
        found.append(Change.WEIGHTS)
    if before.verdict != after.verdict:
        found.append(Change.VERDICT)
    known = before.margin is not None and after.margin is not None
    if known and abs((after.margin or 0.0) - (before.margin or 0.0)) >= math.log(factor):
        found.append(Change.MARGIN)
    return tuple(found)


def _rank(row: Row) -> int:
    """How bad the verdict is; none is as bad as inconclusive."""
    return _RANKS.get(row.verdict or "inconclusive", 1)
