"""Which candidates of a search a follow-up probe looks at."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.evidence import Evidence

__all__ = ["leading", "most_invariant", "token_ids"]


def token_ids(suspect: Evidence) -> tuple[int, ...]:
    """The ids that were inserted; empty for evidence about no candidate."""
    return () if suspect.trigger is None else suspect.trigger.token_ids


def most_invariant(suspects: Sequence[Evidence], count: int) -> list[Evidence]:
    """The ``count`` candidates that leave a carrier least to say, best first."""
    return _first(suspects, "scatter", count, sign=1)


def leading(suspects: Sequence[Evidence], count: int) -> list[Evidence]:
    """The best of every kind, each once.

    ``count`` most invariant, as many that displace most in the sweep, and half as many that push
    most to a label.
    """
    swept = [suspect for suspect in suspects if suspect.metrics.get("sweep_rank", 0) > 0]
    best = chain(
        most_invariant(suspects, count),
        _first(swept, "sweep_rank", count, sign=1),
        _first(suspects, "strength", count // 2, sign=-1),
    )
    return list({token_ids(suspect): suspect for suspect in best}.values())


def _first(suspects: Sequence[Evidence], metric: str, count: int, *, sign: int) -> list[Evidence]:
    """The ``count`` with the lowest ``sign`` times ``metric``, of those that have it."""
    known = [suspect for suspect in suspects if metric in suspect.metrics]
    return sorted(known, key=lambda s: (sign * s.metrics[metric], token_ids(s)))[:count]
