"""How a fleet stands: what is answered, what runs, and how long the rest will take."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.evidence import Verdict
from plmscan.probes.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.fleet.ledger import Ledger

__all__ = ["Standing", "duration"]

_WINDOW = 600.0
"""Seconds over which the pace is taken."""
_RUNNING = {"fetch": "fetching", "examine": "examining", "search": "searching"}
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


@dataclass(frozen=True)
class Standing:
    """How a fleet stands at a moment."""

    total: int
    """Models of the run."""
    verdicts: Mapping[str, int]
    """Answered models by verdict."""
    stages: Mapping[str, int]
    """The others by what is done with them."""
    a_minute: float
    """Models that were answered in a minute, of late."""
    left: float | None
    """Seconds until all are answered, about; None if nobody can tell."""

    @classmethod
    def of(cls, ledger: Ledger, now: float | None = None) -> Standing:
        """How the fleet of ``ledger`` stands."""
        now = time.time() if now is None else now
        began = float(ledger.noted("began") or now)
        passed = max(min(now - began, _WINDOW), 1.0)
        verdicts: Counter[str] = Counter()
        stages: Counter[str] = Counter()
        for verdict, stage, count in ledger.counts():
            if verdict is None:
                stages[stage] += count
            else:
                verdicts[verdict] += count
        pace, waiting = ledger.answered_since(now - passed) / passed, sum(stages.values())
        left = waiting / pace if pace else (None if waiting else 0.0)
        total = waiting + sum(verdicts.values())
        return cls(total, verdicts, stages, pace * _MINUTE, left)

    @property
    def answered(self) -> int:
        """Models that have an answer."""
        return sum(self.verdicts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Models by verdict, and the others as waiting or running."""
        running = sum(self.stages.get(stage, 0) for stage in _RUNNING)
        waiting = sum(self.stages.values()) - running
        by_verdict = {v.name.lower(): self.verdicts.get(v.name.lower(), 0) for v in Verdict}
        return {**by_verdict, "running": running, "waiting": waiting}

    def told(self) -> str:
        """All of it in one line."""
        return "; ".join(self._parts()) + "."

    def _parts(self) -> Iterator[str]:
        """The parts of that line."""
        yield f"{self.answered} of {counted(self.total, 'model')} answered"
        counts = self.counts
        if self.answered:
            named = (f"{counts[v.name.lower()]} {v.name.lower()}" for v in Verdict)
            yield ", ".join(named)
        running = [f"{n} {words}" for s, words in _RUNNING.items() if (n := self.stages.get(s))]
        if running:
            yield ", ".join(running)
        if counts["waiting"]:
            yield f"{counts['waiting']} waiting"
        if counts["waiting"] or running:
            yield f"{self.a_minute:.1f} models a minute"
            if self.left is not None:
                yield f"about {duration(self.left)} left"


def duration(seconds: float) -> str:
    """A time as nobody measures it to the second."""
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds)):.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.1f} days"
