"""Longer candidates, made of the best single items: pairs in either order, then triples."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.budget import Budget
    from plmscan.search.writing.sweep import Trial

__all__ = ["grown"]

Candidate = tuple[int, ...]

_BEAM = 6
"""Pairs that are extended, and longer candidates that are passed on of each length."""


def grown(
    trial: Trial, seeds: Sequence[int], text: Sequence[int], gain: float, budget: Budget
) -> list[Candidate]:
    """Pairs and triples of ``seeds`` that do more than their best part by ``gain``, best first.

    More is to turn requests further, or to make an answer that begins with ``text`` likelier.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    alone: list[Candidate] = [(seed,) for seed in seeds]
    known = dict(zip(alone, trial.scores(alone, text, budget.part(0, 0.1)), strict=True))
    pairs = [*permutations(seeds, 2)]
    best = _better(trial, pairs, text, gain, known, budget.part(0.1, 0.6))
    longer = [
        (*pair[:at], seed, *pair[at:])
        for pair in best
        for seed in seeds
        for at in range(len(pair) + 1)
        if seed not in pair
    ]
    return [*best, *_better(trial, longer, text, gain, known, budget.part(0.6, 1))]


def _better(
    trial: Trial,
    candidates: Sequence[Candidate],
    text: Sequence[int],
    gain: float,
    known: dict[Candidate, float],
    budget: Budget,
) -> list[Candidate]:
    """The best that gain over all of their parts; ``known`` has the scores of these, and gets more.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    candidates = list(dict.fromkeys(candidates))
    known |= zip(candidates, trial.scores(candidates, text, budget), strict=True)
    found = [one for one in candidates if known[one] >= _parts(one, known) + gain]
    return sorted(found, key=lambda one: (-known[one], one))[:_BEAM]


def _parts(candidate: Candidate, known: dict[Candidate, float]) -> float:
    """The highest score of what is left of ``candidate`` without one token."""
    shorter = (candidate[:k] + candidate[k + 1 :] for k in range(len(candidate)))
    return max(known.get(one, -float("inf")) for one in shorter)
