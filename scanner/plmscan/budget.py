"""What a probe may spend: effort, seed, carrier texts, time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from plmscan.errors import OutOfTimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["Budget", "Effort"]


class Effort(StrEnum):
    """How much work a scan may do."""

    QUICK = "quick"
    STANDARD = "standard"
    DEEP = "deep"


def _ignore_progress(_fraction: float, _note: str) -> None:
    """Nobody is watching."""


def _nobody_knows(_known: Mapping[str, float], _pending: Collection[str]) -> bool:
    """Without rules anything may matter, so everything is measured."""
    return True


@dataclass(frozen=True)
class Budget:
    """The limits of one scan, handed to every dynamic probe."""

    texts: tuple[str, ...]
    """Carrier texts: natural sentences into which candidates are inserted."""
    effort: Effort = Effort.STANDARD
    """How much work to do."""
    seed: int = 0
    """Seed of every random choice."""
    deadline: float | None = None
    """``time.monotonic()`` value after which a probe must stop; None for no limit."""
    on_progress: Callable[[float, str], None] = _ignore_progress
    """Told the fraction done (0 to 1) of the running probe, and a note."""
    matters: Callable[[Mapping[str, float], Collection[str]], bool] = _nobody_knows
    """Whether some rule could still fire on evidence of the running probe, of which some metrics
    are known and others are pending.  What cannot matter is measured no further."""

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def checkpoint(self, fraction: float, note: str = "") -> None:
        """Report progress, and stop a probe whose time is up.

        Raises:
            OutOfTimeError: the deadline has passed.
        """
        if self.is_over:
            msg = f"The time limit ran out {fraction:.0%} into {note or 'the probe'}."
            raise OutOfTimeError(msg, "Give it more with --time-limit, or use --effort quick.")
        self.on_progress(fraction, note)

    def part(self, start: float, end: float) -> Budget:
        """The same limits for a step that is the stretch from ``start`` to ``end`` of a probe."""

        def tell(fraction: float, note: str) -> None:
            self.on_progress(start + (end - start) * fraction, note)

        return replace(self, on_progress=tell)
