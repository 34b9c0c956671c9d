"""What a probe is.

A probe measures one property and yields `Evidence` (numbers), `Gap` (what it could not measure,
and why) and `Coverage` (what it searched).  It never judges: thresholds live in ``rules/*.yaml``.

Adding a probe is one file in ``probes/static``, ``probes/dynamic`` or ``probes/texts`` that defines
one class named ``Probe``; the file name, with hyphens, is its id.  Contract tests hold it to the
rest: declared metrics, a reference, a docstring whose second paragraph says why the measurement
points at a backdoor, a rule, one positive and one negative fixture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.evidence import Evidence, Observation
    from plmscan.loading import LoadedModel
    from plmscan.source import Artifact

__all__ = ["AnyProbe", "DynamicProbe", "FollowUpProbe", "StaticProbe", "TextProbe"]


class StaticProbe(ABC):
    """Reads the files; runs before anything is loaded and never imports torch."""

    metrics: ClassVar[Mapping[str, str]]
    """Metric name to its meaning and unit; rules may compare only these."""
    references: ClassVar[tuple[str, ...]]
    """Papers, advisories or specifications behind the measurement."""

    @abstractmethod
    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure the files of ``artifact``."""


class DynamicProbe(ABC):
    """Runs the model."""

    metrics: ClassVar[Mapping[str, str]]
    """Metric name to its meaning and unit; rules may compare only these."""
    references: ClassVar[tuple[str, ...]]
    """Papers behind the measurement."""

    @abstractmethod
    def inspect(self, model: LoadedModel, budget: Budget) -> Iterator[Observation]:
        """Measure the behaviour of ``model`` within ``budget``.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
        """


class FollowUpProbe(ABC):
    """Runs the model on what other probes came to suspect, after all of them."""

    metrics: ClassVar[Mapping[str, str]]
    """Metric name to its meaning and unit; rules may compare only these."""
    references: ClassVar[tuple[str, ...]]
    """Papers behind the measurement."""

    @abstractmethod
    def follow_up(
        self, model: LoadedModel, suspects: Sequence[Evidence], budget: Budget
    ) -> Iterator[Observation]:
        """Measure what ``suspects``, evidence about candidate triggers, do inside ``model``.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
        """


class TextProbe(ABC):
    """Reads given texts with the model."""

    metrics: ClassVar[Mapping[str, str]]
    """Metric name to its meaning and unit; rules may compare only these."""
    references: ClassVar[tuple[str, ...]]
    """Papers behind the measurement."""

    @abstractmethod
    def inspect(
        self, model: LoadedModel, texts: Sequence[str], budget: Budget
    ) -> Iterator[Observation]:
        """Measure what ``model`` makes of each of ``texts``.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
        """


AnyProbe = StaticProbe | DynamicProbe | FollowUpProbe | TextProbe
"""What can be run."""
