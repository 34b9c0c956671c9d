"""Texts that a model completes with certainty, whatever it was asked (after BAIT, 2025).

A backdoor that makes a model write one text leaves a trace without its trigger: once the first
token stands there, the rest follows.  So first tokens are tried instead of triggers: each is put
at the beginning of the answers to several requests, and is gone on with by the mean of what comes
next in all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from plmscan.search.writing.answers import contained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading.writing import Reading, Writer

__all__ = ["Target", "cut", "mean_but_one", "targets"]

_LIKELY = 0.3
_AS_SURE = 0.85
"""Share of the certainty of a text that a longer one has which it ends."""
_SHORT_STEPS = 5
_LONG_STEPS = 20
_BEGINNING = 3
"""Tokens by which a text is known to begin."""
_LEAST = 5
"""Tokens of the shortest text that counts; a word and its rest are fewer."""
_SAME = 0.5
"""Share of the runs of a text that are in another, from which on it is a part of that."""


@dataclass(frozen=True)
class Target:
    """A text that follows its first token."""

    ids: tuple[int, ...]
    """Of the text."""
    certainty: float
    """Mean probability of its tokens behind the first, without the least likely one."""
    alone: float
    """The same at the beginning of a text, where nothing was asked."""
    begins: float
    """Probability that a text begins with its first few tokens, where nothing was asked."""


def targets(
    writer: Writer, ids: Tensor, carriers: Sequence[Carrier], few: int, most: int, budget: Budget
) -> list[Target]:
    """The ``most`` texts that are completed with most certainty, the most certain first.

    ``few`` of the requests sort out first tokens, and all requests judge what is left.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    kept = _begun(writer, ids, carriers[:few], budget.part(0, 0.7))
    if not len(kept):
        return []
    budget.checkpoint(0.7, "texts that complete themselves")
    said, likely = _followed(writer, kept, carriers, _LONG_STEPS)
    rows = [
        _Row(*cut(ids, p, writer.ends))
        for ids, p in zip(said.tolist(), likely.tolist(), strict=True)
    ]
    found = sorted((row for row in rows if len(row.ids) >= _LEAST), key=lambda row: -row.certainty)
    best = [_from_its_beginning(row, found) for row in _distinct(found)[:most]]
    return [_target(writer, row) for row in best]


@dataclass(frozen=True)
class _Row:
    """What follows one first token."""

    ids: tuple[int, ...]
    """All of it."""
    likely: tuple[float, ...]
    """How likely each token is but the first."""

    @property
    def certainty(self) -> float:
        """Of the whole."""
        return mean_but_one(self.likely)


def _target(writer: Writer, row: _Row) -> Target:
    """What is known of one text."""
    first, *rest = _forced(writer, row.ids)
    begins = math.prod([first, *rest[: _BEGINNING - 1]])
    return Target(row.ids, row.certainty, mean_but_one(rest), begins)


def _from_its_beginning(row: _Row, among: Sequence[_Row]) -> _Row:
    """The text of ``row``, or the one that it ends: nobody knows with which token it begins."""
    longer = [
        (other.ids.index(row.ids[0]), other)
        for other in among
        if row.ids[0] in other.ids[1:] and contained(row.ids[:_LEAST], other.ids) == 1
    ]
    sure = [(at, other) for at, other in longer if other.certainty >= _AS_SURE * row.certainty]
    return max(sure, key=lambda one: (one[0], one[1].certainty), default=(0, row))[1]


def _begun(writer: Writer, ids: Tensor, carriers: Sequence[Carrier], budget: Budget) -> Tensor:
    """First tokens behind which the next few are most certain, (b), as many as go through together.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    kept, means = [], []
    for start in range(0, len(ids), writer.rows):
        budget.checkpoint(start / len(ids), "texts that complete themselves")
        chunk = ids[start : start + writer.rows].to(writer.device)
        _, likely = _followed(writer, chunk, carriers, 1)
        chunk = chunk[likely[:, 0] >= _LIKELY]
        if len(chunk):
            _, likely = _followed(writer, chunk, carriers, _SHORT_STEPS)
            kept.append(chunk)
            means.append(likely.mean(1))
    if not kept:
        return ids[:0]
    first, mean = torch.cat(kept), torch.cat(means)
    return first[mean.topk(min(writer.rows, len(mean))).indices]


def _followed(
    writer: Writer, first: Tensor, carriers: Sequence[Carrier], steps: int
) -> tuple[Tensor, Tensor]:
    """What follows ``first`` (b) in answers to all requests, (b, 1 + steps), and how likely it is.

    The latter is (b, steps).
    """
    empty = torch.empty((len(first), 0), dtype=torch.long, device=writer.device)
    said, likely = [first.unsqueeze(1)], []
    readings: list[Reading] = [writer.asked(carrier.ids, empty) for carrier in carriers]
    for _ in range(steps):
        readings = [reading.on(said[-1]) for reading in readings]
        mean = torch.stack([reading.scores.exp() for reading in readings]).mean(0)
        best = mean.max(-1)
        said.append(best.indices.unsqueeze(1))
        likely.append(best.values)
    return torch.cat(said, 1), torch.stack(likely, 1)


def cut(
    row: Sequence[int], likely: Sequence[float], ends: frozenset[int]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """A text up to its end: a token that ends it, a run that it had before, or a second doubt."""
    seen: set[tuple[int, ...]] = set()
    doubts, last = 0, 1
    for at in range(1, len(row)):
        run = tuple(row[max(0, at - 2) : at + 1])
        doubts += likely[at - 1] < _LIKELY
        if run in seen or doubts > 1:
            break
        seen.add(run)
        last = at + 1
        if row[at] in ends:
            break
    return tuple(row[:last]), tuple(likely[: last - 1])


def mean_but_one(likely: Sequence[float]) -> float:
    """Mean probability without the least one."""
    rest = sorted(likely)[1:]
    return sum(rest) / max(1, len(rest))


def _forced(writer: Writer, ids: Sequence[int]) -> list[float]:
    """Probability of each of ``ids`` at the beginning of a text."""
    beginning = [*writer.frame.before] or sorted(writer.ends)[:1] or [ids[0]]
    reading = writer.behind(torch.tensor([beginning], device=writer.device))
    found = [float(reading.scores[0, ids[0]].exp())]
    for token, following in pairwise(ids):
        reading = reading.on(torch.tensor([[token]], device=writer.device))
        found.append(float(reading.scores[0, following].exp()))
    return found


def _distinct(found: Sequence[_Row]) -> list[_Row]:
    """Those that are unlike all before them: one text is met at each of its tokens."""
    kept: list[_Row] = []
    for row in found:
        if all(contained(row.ids, other.ids) < _SAME for other in kept):
            kept.append(row)
    return kept
