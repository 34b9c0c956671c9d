"""One probe, and whatever it does: a record of it."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from plmscan.errors import ArtifactError, OutOfTimeError
from plmscan.evidence import Coverage, Evidence, Gap, ProbeRun, ProbeStatus
from plmscan.probes.base import StaticProbe
from plmscan.scan.isolation import run_probe
from tests.specimens import hit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

FOUND = Evidence("probe", "config.json", {"count": 1.0})
SEARCHED = Coverage("1 file.")
RAN_OUT = "It ran out of memory. Use a machine with more, or look at the files first."


class Scripted(StaticProbe):
    """Yields what it is told, then raises what it is told."""

    metrics: ClassVar[Mapping[str, str]] = {"count": "how many", "another": "one"}
    references: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *observations: Observation, then: Exception | None = None) -> None:
        """Keep the script."""
        self._observations = observations
        self._then = then

    def inspect(self, _artifact: Artifact | None) -> Iterator[Observation]:
        """Play it."""
        yield from self._observations
        if self._then is not None:
            raise self._then


def played(*observations: Observation, then: Exception | None = None) -> ProbeRun:
    """The record of a scripted probe."""
    probe = Scripted(*observations, then=then)
    return run_probe("probe", lambda _: probe, lambda probe: probe.inspect(None))


@pytest.mark.parametrize(
    ("observations", "status", "reason"),
    [
        ((FOUND, SEARCHED), ProbeStatus.COMPLETED, ""),
        ((SEARCHED,), ProbeStatus.COMPLETED, ""),
        ((), ProbeStatus.COMPLETED, ""),
        ((SEARCHED, Gap("a", "harmless.", blocks_pass=False)), ProbeStatus.COMPLETED, ""),
        ((Gap("a", "no such file.", blocks_pass=False),), ProbeStatus.SKIPPED, "no such file."),
        ((FOUND, Gap("a", "broken.")), ProbeStatus.INCOMPLETE, "a: broken."),
    ],
)
def test_gaps_decide_how_far_it_came(
    observations: tuple[Observation, ...], status: ProbeStatus, reason: str
) -> None:
    """Blocking gaps make it incomplete; harmless ones alone make it skipped."""
    run = played(*observations)
    assert (run.status, run.reason) == (status, reason)
    assert run.metrics == ("another", "count")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (
            ArtifactError("It is cut short.", "Again."),
            ProbeStatus.FAILED,
            "It is cut short. Again.",
        ),
        (OutOfTimeError("Too late."), ProbeStatus.TIMED_OUT, "Too late."),
        (KeyError("x"), ProbeStatus.FAILED, "It broke with KeyError: 'x'"),
        (MemoryError(), ProbeStatus.FAILED, RAN_OUT),
        (RecursionError("a\nb"), ProbeStatus.FAILED, "It broke with RecursionError: a b"),
    ],
)
def test_what_it_raises_is_its_reason(error: Exception, status: ProbeStatus, reason: str) -> None:
    """An error ends the probe, not the scan, and keeps what was measured before."""
    run = played(FOUND, SEARCHED, then=error)
    assert (run.status, run.reason) == (status, reason)
    assert run.evidence == (FOUND,)
    assert run.coverage == (SEARCHED,)


def test_a_probe_that_cannot_be_made_has_failed() -> None:
    """An import error in a probe's file is isolated as well."""

    def make(_probe_id: str) -> Scripted:
        msg = "No module named 'x'"
        raise ImportError(msg)

    run = run_probe("probe", make, lambda probe: probe.inspect(None))
    assert (run.status, run.metrics) == (ProbeStatus.FAILED, ())


def test_numbers_are_rounded_before_they_are_judged() -> None:
    """Six digits, so that a saved report is judged like the scan; infinities become finite."""
    odd = Evidence(
        "probe", "x", {"count": 1 / 3, "another": -math.inf}, {"share": 2 / 3, "n": 10**9}
    )
    (tidy,) = played(odd).evidence
    assert tidy.metrics["count"] == 0.333333
    assert tidy.metrics["another"] == pytest.approx(-sys.float_info.max, rel=1e-5)
    assert tidy.details == {"share": 0.666667, "n": 10**9}


def test_nan_is_a_gap() -> None:
    """No threshold catches a NaN, so it must not look like a measurement."""
    run = played(Evidence("probe", "x", {"count": math.nan, "another": 1.0}))
    assert run.status is ProbeStatus.INCOMPLETE
    assert run.reason == "x: measured as not a number: count."
    assert run.evidence[0].metrics == {"another": 1.0}


def test_a_trigger_with_a_nan_is_a_gap() -> None:
    """The same holds inside a trigger; one with good numbers stays, rounded."""
    good, bad = hit(z=1 / 3), hit()
    assert good.trigger is not None
    assert bad.trigger is not None
    run = played(good, replace(bad, trigger=replace(bad.trigger, p_value=math.nan)))
    kept, dropped = run.evidence
    assert kept.trigger is not None
    assert (kept.trigger.z, dropped.trigger) == (0.333333, None)
    assert run.reason == "cf: measured as not a number: trigger."
