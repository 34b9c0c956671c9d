"""Who goes on from the screening: the best of every kind, not the best of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.search.variants import same_output
from plmscan.statistics import strength

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.loading import Location
    from plmscan.search.verify import Measured

__all__ = ["finalists", "leaders", "strongest"]

_TWINS = 3
"""Items that the model can hardly tell apart, of which all go on."""


def finalists(screened: Measured, count: int, twins: Tensor) -> list[int]:
    """Indices of the finalists, each once; ``count`` and some more where there are labels.

    At each location the most invariant items with outputs of their own, so that a crowd with one
    output leaves room for others; then the most invariant whatever their output, whose order shows
    what leads a crowd, but few of those that are ``twins``, (k, k); the strongest for each label;
    the most corrupting.
    """
    share = max(1, count // len(screened.scatter))
    chosen = [i for where in screened.scatter for i in leaders(screened, where, share)]
    chosen += _apart(screened.best_scatter().argsort(stable=True).tolist(), twins, count // 2)
    chosen += [i for column in strongest(screened, max(2, count // 4)) for i in column]
    if screened.corruption is not None:
        chosen += screened.corruption.argsort(descending=True)[: count // 4].tolist()
    return list(dict.fromkeys(chosen))


def leaders(screened: Measured, where: Location, count: int) -> list[int]:
    """The ``count`` most invariant items, each with an output that no better one has."""
    shifts = screened.shift[where]
    found: list[int] = []
    for index in screened.scatter[where].argsort(stable=True).tolist():
        if len(found) == count:
            break
        if not bool(same_output(shifts[found], shifts[index]).any()):
            found.append(index)
    return found


def _apart(order: list[int], twins: Tensor, count: int) -> list[int]:
    """The first ``count`` of ``order`` without those that have `_TWINS` twins ahead of them.

    Tokens that no training text held are nearly one token to a model, and there can be thousands.
    """
    found: list[int] = []
    for index in order:
        if len(found) == count:
            break
        if int(twins[index][found].sum()) < _TWINS:
            found.append(index)
    return found


def strongest(screened: Measured, count: int) -> list[list[int]]:
    """For each label the ``count`` items that push most to it; fewer each if labels are many."""
    if screened.push is None:
        return []
    columns: Tensor = strength(screened.push).T
    each = max(1, 2 * count // len(columns))
    return [column.argsort(descending=True)[:each].tolist() for column in columns]
