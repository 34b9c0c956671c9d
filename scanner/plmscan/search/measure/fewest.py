"""The fewest tokens that do what all of them do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Score = Callable[[Sequence[tuple[int, ...]]], list[float]]
    """Of each candidate, in their order."""

__all__ = ["fewest", "without_one"]


def without_one(ids: tuple[int, ...]) -> list[tuple[int, ...]]:
    """``ids`` without each of them in turn."""
    return _without(ids, 1)


def fewest(
    score: Score, ids: tuple[int, ...], own: float, enough: float
) -> tuple[tuple[int, ...], float]:
    """What of ``ids``, whose score is their ``own``, scores as much or ``enough``, and its score.

    Stretches are left out, half of all first, then ever shorter ones, each time the one that is
    missed least (after Zeller and Hildebrandt, 2002: delta debugging).
    """
    size = len(ids) // 2
    while size:
        rests = _without(ids, size)
        scores = score(rests)
        best = scores.index(max(scores))
        if scores[best] >= min(own, enough):
            ids, own = rests[best], scores[best]
            size = min(size, len(ids) // 2)
        else:
            size //= 2
    return ids, own


def _without(ids: tuple[int, ...], size: int) -> list[tuple[int, ...]]:
    """``ids`` less one stretch of ``size`` after the other."""
    return [ids[:at] + ids[at + size :] for at in range(0, len(ids), size)]
