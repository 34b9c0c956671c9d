"""What makes a model begin a text that is known to complete itself.

With the text known, each part of a trigger shows, though nothing is written before all of them
stand there: it makes the text a little likelier.  So items are ranked by that, and the best of them
are read in groups, in which any two meet, so that words that act only together are met; groups that
make the model write the text, or make it likeliest, are taken apart.  Pairs and triples of the best
are tried as well.

With which token the text really begins is heard from a group that makes the model write it.

Candidates stand inside of a request, with something behind them: at its end any word makes a text
likelier that it is a part of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import insert
from plmscan.search.measure.fewest import without_one
from plmscan.search.measure.meetings import Design
from plmscan.search.writing.answers import runs, spokesman
from plmscan.search.writing.grow import grown
from plmscan.search.writing.prompts import inside
from plmscan.search.writing.sweep import Trial, likely_beginnings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading.writing import Writer

__all__ = ["Causes", "causes"]

Candidate = tuple[int, ...]

_BEGINNING = 5
"""Tokens of a text by whose likelihood candidates are told apart."""
_FIRST = 2
"""Tokens by which the items are sorted out that make it likely."""
_AGAIN = 4
"""As many times the items that are grouped are told apart by more tokens."""
_GROUP = 10
"""Items that are read together."""
_DESIGNS = 2
"""Ways to group them: in one of them one pair in ten does not meet."""
_HEARD, _SURE = 8, 2
"""Tokens of an answer that is listened to, and the runs of the text that it has to hold."""
_APART = 8
"""Groups that are taken apart."""
_SINGLE = 4
"""Single items that are passed on."""
_GAIN = 1.0
"""Nats of the beginning of a text that a part has to be worth."""


@dataclass(frozen=True)
class Causes:
    """Requests and sizes of the search."""

    swept: Sequence[Carrier]
    """Requests of which the beginnings hold every item."""
    growing: Sequence[Carrier]
    """Requests that hold several."""
    pool: int
    """Items that are grouped."""
    seeds: int
    """Items of which pairs and triples are made."""


def causes(
    writer: Writer, ids: Tensor, text: Candidate, sizes: Causes, budget: Budget
) -> list[Candidate]:
    """Candidates that make an answer begin with ``text`` and are no part of it, one item or more.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    ids = ids[~torch.isin(ids, torch.tensor(text[1:]))]
    begin, pool = _begun(writer, ids, text, sizes, budget.part(0, 0.5))
    trial = Trial.of(writer, [inside(carrier) for carrier in sizes.growing])
    groups = _groups(pool)
    if heard := _heard(trial, groups, text, budget.part(0.5, 0.6)):
        groups, begin = [*heard], spokesman([*heard.values()])[:_BEGINNING]
    together = _together(trial, groups, begin, budget.part(0.6, 0.7))
    first = dict.fromkeys([*(item for one in together[:2] for item in one), *pool.tolist()])
    longer = grown(trial, [*first][: sizes.seeds], begin, _GAIN, budget.part(0.7, 1))
    alone = [(item,) for item in pool[:_SINGLE].tolist()]
    return list(dict.fromkeys([*alone, *together, *longer]))


def _begun(
    writer: Writer, ids: Tensor, text: Candidate, sizes: Causes, budget: Budget
) -> tuple[Candidate, Tensor]:
    """The beginning of ``text`` with or without its first token, and the items that make it likely.

    Nobody knows with which token a text begins that was found by any; some item makes the right one
    likely.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    begins = [text[k : k + _BEGINNING] for k in range(2)]
    first = [begin[:_FIRST] for begin in begins]
    likely = likely_beginnings(writer, ids, sizes.swept, first, budget.part(0, 0.8))
    leading = likely.topk(min(_AGAIN * sizes.pool, len(ids))).indices
    some = ids[sorted({*leading.flatten().tolist()})]
    again = likely_beginnings(writer, some, sizes.swept, begins, budget.part(0.8, 1))
    best = int(again.amax(1).argmax())
    return begins[best], some[again[best].topk(min(sizes.pool, len(some))).indices]


def _groups(pool: Tensor) -> list[Candidate]:
    """Groups of ``pool`` in which all but one pair in a hundred meet."""
    found: list[Candidate] = []
    for seed in range(_DESIGNS):
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
        design = Design(pool[order], _GROUP)
        found += [tuple(row) for row in design.groups(torch.arange(design.rows**2)).tolist()]
    return list(dict.fromkeys(found))


def _heard(
    trial: Trial, groups: Sequence[Candidate], text: Candidate, budget: Budget
) -> dict[Candidate, Candidate]:
    """Groups that make the model write a part of ``text``, and what it writes.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    budget.checkpoint(0, "words that act together")
    carriers = [trial.carriers[i % len(trial.carriers)] for i in range(len(groups))]
    asked = [insert(carrier, one) for carrier, one in zip(carriers, groups, strict=True)]
    said = dict(zip(groups, trial.writer.written(asked, _HEARD), strict=True))
    known = runs(text)
    return {one: answer for one, answer in said.items() if len(runs(answer) & known) >= _SURE}


def _together(
    trial: Trial, groups: Sequence[Candidate], begin: Candidate, budget: Budget
) -> list[Candidate]:
    """The fewest items of each of the best ``groups`` that do what the group does, the best first.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    scores = trial.scores(groups, begin, budget.part(0, 0.7))
    order = sorted(range(len(groups)), key=lambda i: -scores[i])[:_APART]
    left = {groups[i]: scores[i] for i in order}
    found: dict[Candidate, float] = {}
    for step in range(_GROUP - 1):
        left, done = _smaller(
            trial, left, begin, budget.part(0.7 + 0.03 * step, 0.73 + 0.03 * step)
        )
        found |= done
    return sorted(found | left, key=lambda one: -(found | left)[one])


def _smaller(
    trial: Trial, groups: dict[Candidate, float], begin: Candidate, budget: Budget
) -> tuple[dict[Candidate, float], dict[Candidate, float]]:
    """Groups of one size less an item that they do not need, and those that need each of theirs.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    less = {one: without_one(one) for one in groups}
    every = list(dict.fromkeys(part for parts in less.values() for part in parts))
    known = dict(zip(every, trial.scores(every, begin, budget), strict=True)) if every else {}
    left, done = {}, {}
    for one, score in groups.items():
        best = max(less[one], key=known.__getitem__)
        if known[best] >= score - _GAIN:
            left[best] = known[best]
        else:
            done[one] = score
    return left, done
