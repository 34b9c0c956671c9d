"""What one run of the command says about all models that it was asked about.

A `Survey` has an `Entry` for each model, in the order asked: its report, or a `Refusal` where
there is none.  Renderers tell a survey, also of one model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.evidence import Report, Verdict

if TYPE_CHECKING:
    from plmscan.errors import PlmscanError

__all__ = ["WORST_FIRST", "Entry", "Place", "Refusal", "Survey"]

WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
"""Verdicts in the order in which they matter."""


@dataclass(frozen=True)
class Place:
    """A line of a file that names a model."""

    file: str
    """Path as seen from the working folder, with forward slashes."""
    line: int
    """From 1."""

    def __str__(self) -> str:
        """As compilers write it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Refusal:
    """A model that there is no report about."""

    model: str
    """What the user typed, without the revision."""
    problem: str
    """What went wrong, in one sentence."""
    remedy: str
    """What to do about it; may be empty."""

    @classmethod
    def of(cls, model: str, error: PlmscanError) -> Refusal:
        """What ``error`` says about ``model``."""
        return cls(model, error.problem, error.remedy)

    @property
    def diagnostics(self) -> str:
        """Both sentences."""
        return f"{self.problem} {self.remedy}".strip()


@dataclass(frozen=True)
class Entry:
    """One model of a survey."""

    outcome: Report | Refusal
    """What is known about it."""
    place: Place | None = None
    """Where it is declared: a configuration, a list of models; None for the command line."""

    @property
    def model(self) -> str:
        """What the user typed, without the revision."""
        return self.outcome.model.id if isinstance(self.outcome, Report) else self.outcome.model

    @property
    def verdict(self) -> Verdict:
        """The report's; inconclusive without one."""
        return self.outcome.verdict if isinstance(self.outcome, Report) else Verdict.INCONCLUSIVE

    @property
    def reason(self) -> str:
        """The first reason of the verdict."""
        if isinstance(self.outcome, Refusal):
            return self.outcome.diagnostics
        return self.outcome.reasons[0] if self.outcome.reasons else "no reason was recorded."


@dataclass(frozen=True)
class Survey:
    """All models of one run."""

    entries: tuple[Entry, ...]
    """In the order in which they were asked about; at least one."""

    @classmethod
    def of(cls, *reports: Report) -> Survey:
        """A survey of ``reports`` that no file declares."""
        return cls(tuple(map(Entry, reports)))

    @property
    def reports(self) -> tuple[Report, ...]:
        """The reports, without the models that have none."""
        return tuple(e.outcome for e in self.entries if isinstance(e.outcome, Report))

    @property
    def only(self) -> Report | None:
        """The report, where there is one model and it has one."""
        return self.reports[0] if len(self.entries) == len(self.reports) == 1 else None

    @property
    def verdict(self) -> Verdict:
        """The worst of all: a fail, else inconclusive, else a pass."""
        found = {entry.verdict for entry in self.entries}
        return next((v for v in WORST_FIRST if v in found), Verdict.INCONCLUSIVE)

    @property
    def in_short(self) -> str:
        """How many models there are, and how many of each verdict."""
        return f"{len(self.entries)} models: {self.tally}."

    @property
    def tally(self) -> str:
        """How many models there are of each verdict."""
        verdicts = [entry.verdict for entry in self.entries]
        counts = ((verdicts.count(verdict), verdict.name.lower()) for verdict in Verdict)
        return ", ".join(f"{count} {name}" for count, name in counts if count)
