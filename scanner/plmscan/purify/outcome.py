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
    """Every method tried, in order; at least one."""

    @property
    def verdict(self) -> Verdict:
        """That of the last new scan; a fail if triggers were left in the trial already."""
        report = self.rounds[-1].report
        return Verdict.FAIL if report is None else report.verdict

    @property
    def changed(self) -> tuple[str, ...]:
        """Tensors that differ in the files; empty if nothing was written."""
        return self.rounds[-1].changed if self.rounds[-1].passes else ()
