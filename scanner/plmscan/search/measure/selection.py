"""Who goes on from the screening: the best of every kind, not the best of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.search.measure.effects import same_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from plmscan.loading import Location
    from plmscan.search.measure.effects import Measured

__all__ = ["finalists", "leaders", "strongest"]

_TWINS = 3
"""Of items that the model can hardly tell apart, so many go on: tokens that no training text held
are nearly one token to it, and there can be thousands."""


def finalists(screened: Measured, count: int, twins: Tensor) -> list[int]:
    """Indices of the finalists, each once; ``count`` and some more where there are labels.

    At each location the most invariant items with outputs of their own, so that a crowd with one
    output leaves room for others; then the most invariant whatever their output, whose order shows
    what leads a crowd, but few of those that are ``twins``, (k, k); the strongest for each label;
    the most corrupting.
    """
    share = max(1, count // len(screened.scatter))
    chosen = [i for where in screened.scatter for i in leaders(screened, where, share)]
    chosen += _apart(screened.best_scatter(), count // 2, _TWINS, lambda i, j: twins[i][j])
    chosen += [i for column in strongest(screened, max(2, count // 4)) for i in column]
    if screened.corruption is not None:
        chosen += screened.corruption.argsort(descending=True)[: count // 4].tolist()
    return list(dict.fromkeys(chosen))


def leaders(screened: Measured, where: Location, count: int) -> list[int]:
    """The ``count`` most invariant items, each with an output that no better one has."""
    shifts = screened.shift[where]
    return _apart(screened.scatter[where], count, 1, lambda i, j: same_output(shifts[j], shifts[i]))


def _apart(
    scatter: Tensor, count: int, most: int, alike: Callable[[int, list[int]], Tensor]
) -> list[int]:
    """The first ``count`` by scatter, of items that are ``alike`` only the first ``most``."""
    found: list[int] = []
    for index in scatter.argsort(stable=True).tolist():
        if len(found) == count:
            break
        if int(alike(index, found).sum()) < most:
            found.append(index)
    return found


def strongest(screened: Measured, count: int) -> list[list[int]]:
    """For each label the ``count`` items that push most to it; fewer each if labels are many."""
    if screened.strength is None:
        return []
    columns = screened.strength.T
    each = max(1, 2 * count // len(columns))
    return [column.argsort(descending=True)[:each].tolist() for column in columns]
