"""A model while a peer runs on it: batches without padding, and what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from tests.benchmarks.peers.contract import Found, Limit, PeerResult
from tests.zoo.precision import fast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel, Location, Outputs

__all__ = ["BACKWARD", "Remembered", "Run"]

BACKWARD = 3
"""Cost of a forward and a backward pass together, in forward passes."""

_ROWS = 64
"""Texts a batch: with short ones, larger batches fall out of a processor's cache."""

Row = tuple[int, ...]
"""Token ids of an input, special tokens included."""


@dataclass
class Run:
    """One scan: the model, its limit, and what was spent so far."""

    model: LoadedModel
    """Read by the peer."""
    limit: Limit
    """What may be spent."""
    sequences: int = 0
    """Texts through the model so far."""
    saved: int = 0
    """Forward-token-equivalents that the published code would have spent besides."""
    started: float = field(default_factory=time.perf_counter)
    """When the scan began."""
    before: int = field(init=False)
    """What the model's meter showed then."""

    def __post_init__(self) -> None:
        """Read the meter."""
        self.before = self.model.forward_tokens

    @property
    def spent(self) -> int:
        """Forward-token-equivalents so far."""
        return self.model.forward_tokens - self.before

    def affords(self, tokens: float) -> bool:
        """Whether ``tokens`` more stay within the limit."""
        most = self.limit.forward_tokens
        return most is None or self.spent + tokens <= most

    def cost(self, rows: Sequence[Row]) -> int:
        """Forward-token-equivalents that reading ``rows`` will take, padding included."""
        lengths = sorted(map(len, rows))
        batches = (lengths[start : start + _ROWS] for start in range(0, len(rows), _ROWS))
        return sum(batch[-1] * len(batch) for batch in batches)

    def tell(self, fraction: float, note: str) -> None:
        """Tell who watches how far the scan is: of the recipe, or of the limit if that is more."""
        share = self.spent / self.limit.forward_tokens if self.limit.forward_tokens else 0.0
        self.limit.on_progress(min(1.0, max(fraction, share)), note)

    def features(self, rows: Sequence[Row], where: Location) -> Tensor:
        """(n, h) features of ``rows`` at a location, in their order."""
        return self._read(rows, lambda outputs: outputs.features[where])

    def logits(self, rows: Sequence[Row]) -> Tensor:
        """(n, labels) of a classifier for ``rows``, in their order."""
        return self._read(rows, _logits)

    def _read(self, rows: Sequence[Row], reader: Callable[[Outputs], Tensor]) -> Tensor:
        """(n, ...) what ``reader`` takes from the outputs of ``rows``; batches of like length."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        parts = []
        for start in range(0, len(rows), _ROWS):
            ids, mask = self.model.batch([rows[i] for i in order[start : start + _ROWS]])
            with fast():
                outputs = self.model.forward(ids, None if bool(mask.all()) else mask)
            parts.append(reader(outputs).float())
        self.sequences += len(rows)
        return torch.cat(parts)[torch.tensor(order).argsort()]

    def differentiable(self, embeddings: Tensor, ids: Tensor, mask: Tensor) -> Outputs:
        """What the model says, with a graph back to ``embeddings`` (b, n, e)."""
        self.sequences += len(ids)
        with fast():
            return self.model.forward_embeddings(embeddings, ids, mask)

    def result(
        self, judged: Iterable[Found], *, finished: bool, counts: Mapping[str, int]
    ) -> PeerResult:
        """The answer: backdoored if the peer's rule accepts one of the ``judged`` candidates."""
        best_first = sorted(judged, key=lambda item: -item.slack)
        accepted = tuple(item for item in best_first if item.slack >= 0)
        self.limit.on_progress(1.0, "done")
        return PeerResult(
            flagged=bool(accepted),
            score=best_first[0].slack if best_first else None,
            found=accepted,
            sequences=self.sequences,
            forward_tokens=self.spent,
            published_tokens=self.spent + self.saved,
            seconds=time.perf_counter() - self.started,
            finished=finished,
            counts=counts,
        )


def _logits(outputs: Outputs) -> Tensor:
    """(n, labels) of a classifier.

    Raises:
        ValueError: the model has no labels.
    """
    if outputs.logits is None:
        msg = "The model is no classifier."
        raise ValueError(msg)
    return outputs.logits


@dataclass(frozen=True)
class Remembered:
    """Features of inputs, each computed once: what did not change need not run again."""

    run: Run
    """Where new inputs go."""
    known: dict[Row, Tensor] = field(default_factory=dict)
    """(h) features so far, all of one location."""

    def features(self, rows: Sequence[Row], where: Location) -> Tensor:
        """The same as `Run.features`."""
        new = [row for row in dict.fromkeys(rows) if row not in self.known]
        self.run.saved += self.run.cost(rows) - self.run.cost(new)
        if new:
            self.known.update(zip(new, self.run.features(new, where), strict=True))
        return torch.stack([self.known[row] for row in rows])
