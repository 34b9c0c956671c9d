"""Packing: which texts go through the model together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel

__all__ = ["Pass", "packed", "runs"]

_MOST = 1024
"""Tokens of one pass; with 4096 the search of MiniLM took 927 MB at its peak instead of 633."""

_START = 64
"""Tokens that would take as long as a pass takes beside its tokens: on MiniLM and one core."""


@dataclass(frozen=True)
class Pass:
    """Texts that go through the model together."""

    rows: list[int]
    """Which."""
    ids: Tensor
    """(b, n), right-padded."""
    mask: Tensor | None
    """(b, n), 1 for real tokens; None where nothing is padded."""


def packed(model: LoadedModel, texts: Sequence[tuple[int, ...]]) -> tuple[Pass, ...]:
    """Passes over all ``texts``, short ones first, so that hardly anything is padded."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    passes = []
    for run in runs([len(texts[i]) for i in order]):
        rows = [order[i] for i in run]
        ids, mask = model.batch([texts[i] for i in rows])
        passes.append(Pass(rows, ids, None if bool(mask.all()) else mask))
    return tuple(passes)


def runs(lengths: Sequence[int]) -> Iterator[range]:
    """Which of ascending ``lengths`` go together.

    A longer text joins if what it pads takes less time than another pass would.
    """
    start = 0
    for end in range(1, len(lengths)):
        rows, longer = end - start, lengths[end] - lengths[end - 1]
        if rows * longer > _START or (rows + 1) * lengths[end] > _MOST:
            yield range(start, end)
            start = end
    if lengths:
        yield range(start, len(lengths))
