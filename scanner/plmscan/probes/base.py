"""What a probe is.

A probe measures one property and yields `Evidence` (numbers), `Gap` (what it could not measure,
and why) and `Coverage` (what it searched).  It never judges: thresholds live in ``rules/*.yaml``.

Adding a probe is one file in ``probes/static``, ``probes/dynamic``, ``probes/comparison``,
``probes/related``, ``probes/twins`` or ``probes/texts`` that defines one class named ``Probe``; the
file name, with hyphens, is its id.  Contract tests hold it to the rest: declared metrics and
details, a reference, a docstring whose second paragraph says why the measurement points at a
backdoor, one positive and one negative fixture, and a rule, unless what it yields is only shown;
then nothing that goes wrong in it may withhold a pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from plmscan.errors import UnsupportedModelError
from plmscan.evidence import Gap
from plmscan.probes.suspects import most_invariant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plmscan.budget import Budget
    from plmscan.evidence import Evidence, Finding, Observation
    from plmscan.loading import LoadedModel
    from plmscan.probes.relations import Related
    from plmscan.source import Artifact

__all__ = [
    "AnyProbe",
    "ComparisonProbe",
    "DynamicProbe",
    "FollowUpProbe",
    "RelatedProbe",
    "StaticProbe",
    "TextProbe",
    "TwinProbe",
]


class _Probe(ABC):
    """What every probe declares."""

    metrics: ClassVar[Mapping[str, str]]
    """Metric name to its meaning and unit; rules may compare only these."""
    details: ClassVar[Mapping[str, str]] = {}
    """Name to meaning of what messages of rules may say beside metrics and the subject."""
    references: ClassVar[tuple[str, ...]]
    """Papers, advisories or specifications behind the measurement."""


class StaticProbe(_Probe):
    """Reads the files; runs before anything is loaded and never imports torch."""

    @abstractmethod
    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure the files of ``artifact``."""


class DynamicProbe(_Probe):
    """Runs the model."""

    @abstractmethod
    def inspect(self, model: LoadedModel, budget: Budget) -> Iterator[Observation]:
        """Measure the behaviour of ``model`` within ``budget``.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
        """


class FollowUpProbe(_Probe):
    """Runs the model on what other probes came to suspect, after all of them."""

    subject: ClassVar[str]
    """What goes unmeasured where the probe finds nothing to look at."""

    def follow_up(
        self, model: LoadedModel, suspects: Sequence[Evidence], budget: Budget
    ) -> Iterator[Observation]:
        """Measure what ``suspects``, evidence about candidate triggers, do inside ``model``.

        It explains what others found: that there is nothing to explain, or no way to, blocks no
        pass.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
            TextsError: too few carrier texts fit this model.
        """
        if not most_invariant(suspects, 1):
            yield Gap(self.subject, "No rule names a candidate.", blocks_pass=False)
            return
        try:
            yield from self.explain(model, suspects, budget)
        except UnsupportedModelError as error:
            yield Gap(self.subject, error.problem, blocks_pass=False)

    @abstractmethod
    def explain(
        self, model: LoadedModel, suspects: Sequence[Evidence], budget: Budget
    ) -> Iterator[Observation]:
        """The same, with at least one candidate.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
            TextsError: too few carrier texts fit this model.
            UnsupportedModelError: the architecture does not show what the probe reads.
        """


class ComparisonProbe(_Probe):
    """Compares the model with a clean one that the user names; runs neither."""

    @abstractmethod
    def compare(
        self, model: LoadedModel, reference: Artifact, budget: Budget
    ) -> Iterator[Observation]:
        """Measure how ``model`` differs from ``reference``.

        Raises:
            ArtifactError: the files of ``reference`` cannot be read.
            OutOfTimeError: the deadline passed; what was yielded before counts.
        """


class RelatedProbe(_Probe):
    """Tells what checks of other models say that belong to the model: its base, for instance."""

    @abstractmethod
    def tell(self, related: Sequence[Related], own: Sequence[Finding]) -> Iterator[Observation]:
        """Measure what those checks came to, beside the model's ``own`` findings."""


class TwinProbe(_Probe):
    """Runs the model beside a twin, which is the same without what is judged."""

    @abstractmethod
    def compare(
        self,
        model: LoadedModel,
        twin: LoadedModel,
        candidates: Sequence[Evidence],
        budget: Budget,
    ) -> Iterator[Observation]:
        """Measure what only ``model`` does; ``candidates`` are triggers that earlier probes tried.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
            TextsError: too few carrier texts fit this model.
        """


class TextProbe(_Probe):
    """Reads given texts with the model."""

    @abstractmethod
    def inspect(
        self, model: LoadedModel, texts: Sequence[str], budget: Budget
    ) -> Iterator[Observation]:
        """Measure what ``model`` makes of each of ``texts``.

        Raises:
            OutOfTimeError: the deadline passed; what was yielded before counts.
        """


AnyProbe = (
    StaticProbe
    | DynamicProbe
    | FollowUpProbe
    | ComparisonProbe
    | RelatedProbe
    | TextProbe
    | TwinProbe
)
"""What can be run."""
