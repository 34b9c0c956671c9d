"""Texts that a model completes with certainty, whatever it was asked (after BAIT, 2025).

A backdoor that makes a model write one text leaves a trace without its trigger: once the first
token stands there, the rest follows.  So first tokens are tried instead of triggers: each is put
at the beginning of the answers to several requests, and is gone on with by the mean of what comes
next in all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.search.writing.answers import contained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading.writing import Reading, Writer

__all__ = ["Beginnings", "Target", "cut", "mean_but_one", "targets"]

_NOTE = "texts that complete themselves"
_LIKELY = 0.3
_AS_SURE = 0.85
"""Share of the certainty of a text that a longer one has which it ends."""
_BEST = 5
"""Second tokens behind one first token, at most."""
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


@dataclass(frozen=True)
class Beginnings:
    """How many texts are begun, and how many are followed up."""

    few: int
    """Requests that sort out beginnings; all requests judge what is left."""
    ahead: int
    """Second tokens for each first one, on the average, that are tried though they are no sure
    thing."""
    most: int
    """Texts that are handed out."""


def targets(
    writer: Writer, ids: Tensor, carriers: Sequence[Carrier], sizes: Beginnings, budget: Budget
) -> list[Target]:
    """The texts that are completed with most certainty, the most certain first.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    some = carriers[: sizes.few]
    pairs = _pairs(writer, ids, some, sizes.ahead * len(ids), budget.part(0, 0.4))
    kept = _begun(writer, pairs, some, budget.part(0.4, 0.7))
    if not len(kept):
        return []
    budget.checkpoint(0.7, _NOTE)
    said, likely = _followed(writer, kept, carriers, _LONG_STEPS - 1)
    rows = [
        _Row(*cut(ids, p, writer.ends))
        for ids, p in zip(said.tolist(), likely.tolist(), strict=True)
    ]
    found = sorted((row for row in rows if len(row.ids) >= _LEAST), key=lambda row: -row.certainty)
    best = [_from_its_beginning(row, found) for row in _distinct(found)[: sizes.most]]
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
    """The text of ``row``, or the one that it ends: nobody knows with which token it begins.

    Its own first token may be any that the rest follows.
    """
    known = row.ids[1 : 1 + _BEGINNING]
    longer = [(_place(known, other.ids), other) for other in among]
    sure = [one for one in longer if one[0] > 1 and one[1].certainty >= _AS_SURE * row.certainty]
    return max(sure, key=lambda one: (one[0], one[1].certainty), default=(0, row))[1]


def _place(some: Sequence[int], ids: Sequence[int]) -> int:
    """Where ``some`` stand in ``ids``; 0 where they do not."""
    wanted = tuple(some)
    places = range(1, len(ids) - len(wanted) + 1)
    return next((at for at in places if tuple(ids[at : at + len(wanted)]) == wanted), 0)


def _pairs(
    writer: Writer, ids: Tensor, carriers: Sequence[Carrier], doubtful: int, budget: Budget
) -> Tensor:
    """Two tokens that an answer begins with, (b, 2): sure ones, and the likeliest of the others.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    likely, following = [], []
    for chunk in _chunks(writer, ids, budget):
        mean = _next(_behind(writer, chunk.unsqueeze(1), carriers))
        best = mean.topk(min(_BEST, mean.shape[1]))
        likely.append(best.values.cpu())
        following.append(best.indices.cpu())
    seconds, how_likely = torch.cat(following), torch.cat(likely)
    sure = how_likely >= _LIKELY
    sure[:, 1:] = False
    rest = how_likely.masked_fill(how_likely >= _LIKELY, 0).flatten()
    sure.view(-1)[rest.topk(min(doubtful, len(rest))).indices] = True
    rows, columns = sure.nonzero(as_tuple=True)
    return torch.stack([ids[rows], seconds[rows, columns]], 1)


def _begun(writer: Writer, pairs: Tensor, carriers: Sequence[Carrier], budget: Budget) -> Tensor:
    """Those of ``pairs`` (n, 2) behind which the next few tokens are most certain, (b, 2).

    As many as go through together.  The first request alone sorts most of them out.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    kept = []
    for chunk in _chunks(writer, pairs, budget.part(0, 0.5)):
        sure = _next(_behind(writer, chunk, carriers[:1])).amax(1) >= _LIKELY
        kept.append(chunk[sure.cpu()])
    first, means = torch.cat(kept) if kept else pairs, []
    for chunk in _chunks(writer, first, budget.part(0.5, 1)):
        _, likely = _followed(writer, chunk, carriers, _SHORT_STEPS - 1)
        means.append((likely.sum(1) - likely.amin(1)).cpu())
    if not means:
        return pairs[:0]
    mean = torch.cat(means)
    return first[mean.topk(min(writer.rows, len(mean))).indices]


def _chunks(writer: Writer, rows: Tensor, budget: Budget) -> Iterator[Tensor]:
    """``rows`` in parts that go through together, while the budget lasts.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    for start in range(0, len(rows), writer.rows):
        budget.checkpoint(start / len(rows), _NOTE)
        yield rows[start : start + writer.rows]


def _behind(writer: Writer, begun: Tensor, carriers: Sequence[Carrier]) -> list[Reading]:
    """Behind what answers to each request begin with, (b, m)."""
    begun = begun.to(writer.device)
    empty = torch.empty((len(begun), 0), dtype=torch.long, device=writer.device)
    return [writer.asked(carrier.ids, empty).on(begun) for carrier in carriers]


def _next(readings: Sequence[Reading]) -> Tensor:
    """(b, v) mean probability of the next token over all requests."""
    total = readings[0].scores.exp()
    for reading in readings[1:]:
        total += reading.scores.exp()
    return total / len(readings)


def _followed(
    writer: Writer, pairs: Tensor, carriers: Sequence[Carrier], steps: int
) -> tuple[Tensor, Tensor]:
    """What follows ``pairs`` (b, 2) in answers to all requests, (b, 2 + steps).

    And how likely each token is but the first, (b, 1 + steps).
    """
    first, second = (part.unsqueeze(1) for part in pairs.to(writer.device).unbind(1))
    readings, said, likely = _behind(writer, first, carriers), [first, second], []
    likely.append(_next(readings).gather(1, second).squeeze(1))
    for _ in range(steps):
        readings = [reading.on(said[-1]) for reading in readings]
        best = _next(readings).max(-1)
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
    return [float(likely) for likely in reading.likely(ids)[0].exp()]


def _distinct(found: Sequence[_Row]) -> list[_Row]:
    """Those that are unlike all before them: one text is met at each of its tokens."""
    kept: list[_Row] = []
    for row in found:
        if all(contained(row.ids, other.ids) < _SAME for other in kept):
            kept.append(row)
    return kept
