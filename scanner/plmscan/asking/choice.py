"""Which rewritings are tried on: the best for each label, alone and in twos."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from plmscan.rewritings import Rewriting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.asking.trial import Trial

__all__ = ["best", "in_twos"]


def best(trial: Trial, label: int, count: int) -> list[Rewriting]:
    """The ``count`` rewritings that push most to ``label``, by the median over the texts."""
    order = trial.typical[:, label].argsort(descending=True, stable=True)[:count]
    return [trial.rewritings[i] for i in order.tolist()]


def in_twos(rewritings: Sequence[Rewriting]) -> list[Rewriting]:
    """One after another, every two of the ``rewritings`` in both orders.

    What an attacker's model writes has more of a style than any one table.
    """
    return [_both(first, second) for first, second in permutations(rewritings, 2)]


def _both(first: Rewriting, second: Rewriting) -> Rewriting:
    """``second`` of what ``first`` has written."""
    return Rewriting(
        f"{first.name}, then {second.name}",
        first.kind if first.kind == second.kind else f"{first.kind} and {second.kind}",
        f"{first.description}; then {second.description}",
        lambda text: second(first(text)),
    )
