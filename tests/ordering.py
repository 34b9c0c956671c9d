"""The order in which tests are run: those that take long first, on every worker."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["dealt"]

_Test = TypeVar("_Test")


def dealt(long: Sequence[Sequence[_Test]], others: Sequence[_Test], workers: int) -> list[_Test]:
    """All tests in an order of which each worker's part begins with its share of the long ones.

    ``pytest -n N --dist worksteal`` deals out N parts of the list as it stands; who is done takes
    from the end of another's part.  A long test there would be run by one while all others wait.
    Tests of one group of ``long`` stay together: what they share is made once, on one worker.
    """
    rest, count = iter(others), sum(map(len, long)) + len(others)
    ordered: list[_Test] = []
    for worker in range(workers):
        first = [test for group in long[worker::workers] for test in group]
        size = (worker + 1) * count // workers - len(ordered)
        ordered += [*first, *islice(rest, max(0, size - len(first)))]
    return [*ordered, *rest]
