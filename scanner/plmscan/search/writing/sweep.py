"""Every vocabulary item in short requests: what does the model write next?

For the distributions ``p_k`` of the next token in request k with an item, and ``q_k`` without it:

    change    mean KL(p_k | q_k), in nats             how far the item turns what comes next
    overlap   sum over tokens of the least p_k        how little the request still matters
    turned    overlap times 1 - sum min(mean p, mean q)

An item whose next token is one and the same everywhere, and another one than before, is turned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.search.writing.prompts import short_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.carriers import Carrier
    from plmscan.loading.writing import Reading, Writer

__all__ = ["Swept", "Trial", "far_out", "likely_beginnings", "sweep", "turned"]


@dataclass(frozen=True)
class Swept:
    """What each item does."""

    ids: Tensor
    """Ids of the items, (v)."""
    change: Tensor
    """In nats, (v)."""
    turned: Tensor
    """From 0 to 1, (v)."""


def turned(scores: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Change and turn by log-probabilities: (k, b, v) in each request, against (k, v) -> (b), (b).

    ``scores`` are those with candidates, ``clean`` those without.
    """
    found, usual = scores.exp(), clean.exp().unsqueeze(1)
    change = (found * (scores - clean.unsqueeze(1))).sum(-1).mean(0)
    overlap = found.amin(0).sum(-1)
    kept = torch.minimum(found.mean(0), usual.mean(0)).sum(-1)
    return change, overlap * (1 - kept)


def sweep(writer: Writer, ids: Tensor, carriers: Sequence[Carrier], budget: Budget) -> Swept:
    """Every one of ``ids`` in short requests.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    framed = [short_request(carrier) for carrier in carriers]
    empty = torch.empty((1, 0), dtype=torch.long, device=writer.device)
    clean = torch.stack([writer.asked((*a, *b), empty).scores[0] for a, b in framed])
    parts = []
    for chunk in _told(ids, writer.rows, budget):
        scores = torch.stack([writer.asked(a, _with(chunk, b, writer)).scores for a, b in framed])
        change, turn = turned(scores, clean)
        parts.append((change.cpu(), turn.cpu()))
    change, turn = (torch.cat(part) for part in zip(*parts, strict=True))
    return Swept(ids, change, turn)


def likely_beginnings(
    writer: Writer,
    ids: Tensor,
    carriers: Sequence[Carrier],
    texts: Sequence[Sequence[int]],
    budget: Budget,
) -> Tensor:
    """(t, v) mean log-probability that answers begin with each of ``texts``.

    With each of ``ids`` in short requests, each of which is read once.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    framed = [short_request(carrier) for carrier in carriers]
    parts = []
    for chunk in _told(ids, writer.rows, budget):
        asked = [writer.asked(a, _with(chunk, b, writer)) for a, b in framed]
        likely = [[one.copied().likely(text).sum(1) for one in asked] for text in texts]
        parts.append(torch.stack([torch.stack(some).mean(0) for some in likely]).cpu())
    return torch.cat(parts, 1)


def _told(ids: Tensor, rows: int, budget: Budget) -> Iterator[Tensor]:
    """``ids`` in chunks of so many ``rows``, while the budget lasts.

    Raises:
        OutOfTimeError: the budget's deadline passed.
    """
    for start in range(0, len(ids), rows):
        budget.checkpoint(start / len(ids), "next tokens")
        yield ids[start : start + rows]


def _with(ids: Tensor, behind: Sequence[int], writer: Writer) -> Tensor:
    """(b, n) each of ``ids`` (b) with the same ``behind`` it."""
    rest = torch.tensor(behind, dtype=torch.long).expand(len(ids), -1)
    return torch.cat([ids.unsqueeze(1), rest], 1).to(writer.device)


def far_out(swept: Swept, count: int) -> list[int]:
    """Ids of the ``count`` items that lead each ranking, each once, ascending."""
    most = min(count, len(swept.ids))
    rankings = (swept.change, swept.turned)
    best = torch.cat([ranking.topk(most).indices for ranking in rankings])
    return sorted({*swept.ids[best].tolist()})


@dataclass(frozen=True)
class Trial:
    """Requests on which candidates of any length are tried by what comes next."""

    writer: Writer
    """Who answers."""
    carriers: Sequence[Carrier]
    """The requests, k."""
    clean: Tensor
    """(k, v) log-probabilities of what comes next in each without a candidate."""

    @classmethod
    def of(cls, writer: Writer, carriers: Sequence[Carrier]) -> Trial:
        """Read the requests once."""
        empty = torch.empty((1, 0), dtype=torch.long, device=writer.device)
        clean = [writer.asked(carrier.ids, empty).scores[0] for carrier in carriers]
        return cls(writer, carriers, torch.stack(clean))

    def scores(
        self, candidates: Sequence[tuple[int, ...]], text: Sequence[int], budget: Budget
    ) -> list[float]:
        """How far each turns the requests, or how likely with it an answer begins with ``text``.

        The latter unless the text is empty.  The candidates have one length.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        found: list[float] = []
        for start in range(0, len(candidates), self.writer.rows):
            budget.checkpoint(start / len(candidates), "longer triggers")
            part = torch.tensor(candidates[start : start + self.writer.rows])
            readings = [self._asked(part, carrier) for carrier in self.carriers]
            if text:
                value = torch.stack([reading.likely(text).sum(1) for reading in readings]).mean(0)
            else:
                value = turned(torch.stack([one.scores for one in readings]), self.clean)[1]
            found += value.tolist()
        return found

    def _asked(self, candidates: Tensor, carrier: Carrier) -> Reading:
        """About to answer one request with each of ``candidates`` (b, n)."""
        before, behind = carrier.ids[: carrier.position], carrier.ids[carrier.position :]
        rest = torch.tensor(behind, dtype=torch.long).expand(len(candidates), -1)
        return self.writer.asked(before, torch.cat([candidates, rest], 1).to(self.writer.device))
