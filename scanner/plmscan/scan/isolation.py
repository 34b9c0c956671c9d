"""Running one probe so that whatever happens in it becomes a `ProbeRun`."""

from __future__ import annotations

import logging
import math
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from plmscan.errors import OutOfTimeError, PlmscanError, in_one_line
from plmscan.evidence import (
    Coverage,
    Evidence,
    Gap,
    Landscape,
    ProbeRun,
    ProbeStatus,
    Projection,
    rounded,
)
from plmscan.memory import allowed_bytes, ran_out
from plmscan.probes.words import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from plmscan.evidence import Demonstration, HeadEffect, Observation, Scalar, Trigger
    from plmscan.probes.base import (
        ComparisonProbe,
        DynamicProbe,
        FollowUpProbe,
        RelatedProbe,
        StaticProbe,
        TextProbe,
        TwinProbe,
    )

    _Probe = TypeVar(
        "_Probe",
        StaticProbe,
        DynamicProbe | FollowUpProbe,
        ComparisonProbe,
        RelatedProbe,
        TextProbe,
        TwinProbe,
    )

__all__ = ["broke", "finished", "run_probe", "seconds_since", "status_of"]

_LOGGER = logging.getLogger(__name__)
_LONGEST_REASON = 300
_BROKE = "It broke with"
_RAN_OUT = "It ran out of memory"
_NOT_A_NUMBER = "measured as not a number"


def run_probe(
    probe_id: str,
    make: Callable[[str], _Probe],
    inspect: Callable[[_Probe], Iterable[Observation]],
) -> ProbeRun:
    """What becomes of one probe; what it raises becomes its status and reason."""
    began = time.perf_counter()
    seen: list[Observation] = []
    metrics: tuple[str, ...] = ()
    broken: tuple[ProbeStatus, str] | None = None
    try:
        probe = make(probe_id)
        metrics = tuple(sorted(probe.metrics))
        for observation in inspect(probe):
            seen.extend(_tidy(observation))
    except Exception as error:  # noqa: BLE001 - a broken probe is a result, not an end
        broken = status_of(error, probe_id)
    seen = list(_with_one_gap_for_nan(seen))
    run = replace(finished(probe_id, seen, seconds_since(began)), metrics=metrics)
    return run if broken is None else replace(run, status=broken[0], reason=broken[1])


def finished(probe_id: str, seen: Sequence[Observation], seconds: float) -> ProbeRun:
    """The record of a step that ended by itself; its gaps decide how far it came."""
    evidence = tuple(o for o in seen if isinstance(o, Evidence))
    gaps = tuple(o for o in seen if isinstance(o, Gap))
    coverage = tuple(o for o in seen if isinstance(o, Coverage))
    blocking = [gap for gap in gaps if gap.blocks_pass]
    status, reason = ProbeStatus.COMPLETED, ""
    if blocking:
        status, reason = ProbeStatus.INCOMPLETE, f"{blocking[0].subject}: {blocking[0].reason}"
    elif gaps and not evidence and not coverage:
        status, reason = ProbeStatus.SKIPPED, gaps[0].reason
    landscapes = tuple(o for o in seen if isinstance(o, Landscape))
    return ProbeRun(
        probe_id, status, reason, seconds, 0, evidence, gaps, coverage, landscapes=landscapes
    )


def status_of(error: Exception, step: str, allowed: int | None = None) -> tuple[ProbeStatus, str]:
    """Status and reason of a step that ended with ``error``; the traceback goes to the log.

    ``allowed`` is what its process may have allocated; None if that is what it may now.
    """
    if isinstance(error, OutOfTimeError):
        return ProbeStatus.TIMED_OUT, error.diagnostics()
    if isinstance(error, PlmscanError) and not ran_out(error):
        return ProbeStatus.FAILED, error.diagnostics()
    _LOGGER.debug("%s broke", step, exc_info=error)
    if ran_out(error):
        return ProbeStatus.FAILED, _ran_out_in_words(allowed or allowed_bytes())
    reason = f"{_BROKE} {type(error).__name__}: {in_one_line(error)}"
    return ProbeStatus.FAILED, reason[:_LONGEST_REASON]


def broke(run: ProbeRun) -> bool:
    """Whether ``run`` ended with what nobody foresaw, after which its process may be unsound."""
    return run.status is ProbeStatus.FAILED and run.reason.startswith((_BROKE, _RAN_OUT))


def _ran_out_in_words(allowed: int | None) -> str:
    """That memory ran out, why, and what to do."""
    if allowed is None:
        return f"{_RAN_OUT}. Use a machine with more, or look at the files first."
    return (
        f"{_RAN_OUT}: its process may take {allowed / 1e9:.1f} GB. "
        "No honest model is known to need more; look at its files before anything else opens them."
    )


def seconds_since(began: float) -> float:
    """Seconds since the ``time.perf_counter()`` value ``began``, to the millisecond."""
    return round(time.perf_counter() - began, 3)


def _tidy(observation: Observation) -> Iterator[Observation]:
    """``observation`` with rounded, finite numbers; a NaN can be judged by no rule: a gap."""
    if isinstance(observation, Landscape):
        yield _tidy_landscape(observation)
        return
    if not isinstance(observation, Evidence):
        yield observation
        return
    metrics = {name: _finite(value) for name, value in observation.metrics.items()}
    broken = [name for name, value in metrics.items() if math.isnan(value)]
    trigger = observation.trigger and _tidy_trigger(observation.trigger)
    if observation.trigger is not None and trigger is None:
        broken.append("trigger")
    heads, heatmap = _tidy_heads(observation)
    if len(heads) < len(observation.heads) or len(heatmap) < len(observation.heatmap):
        broken.append("heads")
    yield replace(
        observation,
        heads=heads,
        heatmap=heatmap,
        metrics={name: value for name, value in metrics.items() if name not in broken},
        details={name: _tidy_detail(value) for name, value in observation.details.items()},
        trigger=trigger,
        demonstrations=tuple(_tidy_demonstrations(observation.demonstrations)),
        projection=observation.projection and _tidy_projection(observation.projection),
    )
    if broken:
        yield Gap(observation.subject, f"{_NOT_A_NUMBER}: {', '.join(broken)}.")


def _with_one_gap_for_nan(seen: Iterable[Observation]) -> Iterator[Observation]:
    """``seen``, with one gap at its end for all subjects of which the same is not a number."""
    subjects: dict[str, list[str]] = {}
    for observation in seen:
        if isinstance(observation, Gap) and observation.reason.startswith(_NOT_A_NUMBER):
            subjects.setdefault(observation.reason, []).append(observation.subject)
        else:
            yield observation
    yield from (Gap(some(names), reason) for reason, names in subjects.items())


def _tidy_trigger(trigger: Trigger) -> Trigger | None:
    """``trigger`` with rounded, finite numbers; None if one is a NaN."""
    tidy = replace(
        trigger,
        displacement=_finite(trigger.displacement),
        scatter=_finite(trigger.scatter),
        z=_finite(trigger.z),
        p_value=_finite(trigger.p_value),
    )
    numbers = (tidy.displacement, tidy.scatter, tidy.z, tidy.p_value)
    return None if any(map(math.isnan, numbers)) else tidy


def _tidy_heads(
    evidence: Evidence,
) -> tuple[tuple[HeadEffect, ...], tuple[tuple[float, ...], ...]]:
    """Heads and heatmap with rounded, finite numbers; without what holds a NaN."""
    heads = [
        replace(
            head,
            effect=_finite(head.effect),
            usual=_finite(head.usual),
            z=_finite(head.z),
            p_value=_finite(head.p_value),
        )
        for head in evidence.heads
    ]
    sound = [head for head in heads if not math.isnan(head.effect + head.usual + head.z)]
    rows = [tuple(map(_finite, row)) for row in evidence.heatmap]
    return tuple(sound), tuple(row for row in rows if not any(map(math.isnan, row)))


def _tidy_demonstrations(shown: Iterable[Demonstration]) -> Iterator[Demonstration]:
    """Rounded, without those that hold a NaN: nobody judges them, so that is no gap."""
    for one in shown:
        likeness, triggered = _finite(one.likeness), _finite(one.triggered_likeness)
        if not math.isnan(likeness + triggered):
            yield replace(one, likeness=likeness, triggered_likeness=triggered)


def _tidy_projection(projection: Projection) -> Projection | None:
    """``projection`` with rounded, finite numbers; None if one is a NaN."""
    clean, triggered = _pairs(projection.clean), _pairs(projection.triggered)
    shares = _pairs([projection.shares])
    whole = len(clean), len(triggered), len(shares)
    if whole != (len(projection.clean), len(projection.triggered), 1):
        return None
    return Projection(clean, triggered, shares[0])


def _tidy_landscape(landscape: Landscape) -> Landscape:
    """``landscape`` with rounded, finite numbers; without the points that hold a NaN."""
    seen = landscape.vocabulary
    across, up = _pairs([seen.across, seen.up])
    named = ((name, _finite(x), _finite(y)) for name, x, y in landscape.named)
    return replace(
        landscape,
        vocabulary=replace(seen, across=across, up=up),
        named=tuple(one for one in named if not math.isnan(one[1] + one[2])),
        screened=_pairs(landscape.screened),
        null=_pairs(landscape.null),
    )


def _pairs(pairs: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Rounded, finite pairs, without those that hold a NaN."""
    tidy = ((_finite(first), _finite(second)) for first, second in pairs)
    return tuple(pair for pair in tidy if not math.isnan(pair[0] + pair[1]))


def _tidy_detail(value: object) -> Scalar:
    """``value`` as something that survives JSON."""
    match value:
        case str() | bool() | int() | None:
            return value
        case float():
            return str(value) if math.isnan(value) else _finite(value)
        case _:
            return str(value)


def _finite(value: float) -> float:
    """``value`` rounded; infinities become the largest numbers that JSON can hold."""
    value = float(value)
    if math.isinf(value):
        value = math.copysign(sys.float_info.max, value)
    return rounded(value)
