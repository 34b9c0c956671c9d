"""What came of a purification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.evidence import Verdict

if TYPE_CHECKING:
    from plmscan.purify.rounds import Round
    from plmscan.purify.trial import Trial

__all__ = ["Purification"]


@dataclass(frozen=True)
class Purification:
    """What came of it."""

    model: str
    """What the user typed."""
    before: Trial
    """The model as it was, with the suspects of the first round."""
    rounds: tuple[Round, ...]
    """Every method tried, in order; none if the time ran out in the first."""
    ran_out: bool = False
    """Whether the time limit ran out before a result had passed."""

    @property
    def verdict(self) -> Verdict:
        """That of the last new scan; a fail if triggers were left in the trial already.

        Nobody knows what more time would have brought.
        """
        if self.ran_out:
            return Verdict.INCONCLUSIVE
        report = self.rounds[-1].report
        return Verdict.FAIL if report is None else report.verdict

    @property
    def passes(self) -> bool:
        """Whether the last result passed its new scan."""
        return bool(self.rounds) and self.rounds[-1].passes

    @property
    def changed(self) -> tuple[str, ...]:
        """Tensors that differ in the files; empty if nothing was written."""
        return self.rounds[-1].changed if self.passes else ()
