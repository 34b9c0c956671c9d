"""Patronus' test of a candidate: poisoned texts look alike, and unlike clean ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn import functional as F

from plmscan.search.measure.candidates import text_of
from tests.benchmarks.peers.contract import Found
from tests.benchmarks.peers.texts import draw_spot

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.loading import Location
    from tests.benchmarks.peers.running import Run
    from tests.benchmarks.peers.texts import Spot, Text

__all__ = ["Gate", "Verification", "closeness", "collapse"]


def collapse(poisoned: Tensor) -> float:
    """*Com*: mean pairwise cosine of features (n, h), each with itself included."""
    return float(F.normalize(poisoned, dim=1).mean(dim=0).square().sum())


def closeness(clean: Tensor, poisoned: Tensor) -> float:
    """*Diff*: mean cosine of each clean feature with its poisoned one, both (n, h)."""
    return float(F.cosine_similarity(clean, poisoned, dim=1).mean())


@dataclass(frozen=True)
class Gate:
    """Fixed cosine thresholds; the published ones."""

    collapse: float = 0.9
    """Least *Com*."""
    closeness: float = 0.4
    """Most *Diff*."""
    texts: int = 200
    """Texts of the test."""
    copies: int = 3
    """Copies of the candidate in each text."""

    def prepare(
        self, run: Run, texts: Sequence[Text], where: Location, rng: random.Random
    ) -> Verification:
        """Draw the places, the same for all candidates, and read the clean features."""
        spots = tuple(draw_spot(text, self.copies, rng) for text in texts[: self.texts])
        clean = run.features([run.model.wrap(spot.text.ids) for spot in spots], where)
        return Verification(self, run, where, spots, clean)


@dataclass(frozen=True)
class Verification:
    """The gate, ready for the candidates of one scan."""

    gate: Gate
    """Its thresholds."""
    run: Run
    """The model."""
    where: Location
    """Where features are read."""
    spots: tuple[Spot, ...]
    """Texts and places."""
    clean: Tensor
    """(n, h) features of the texts as they are."""

    @property
    def cost(self) -> int:
        """Forward-token-equivalents of one candidate of one token."""
        return self.run.cost([spot.row(self.run.model, (0,)) for spot in self.spots])

    def judge(self, token: int) -> Found:
        """Put one token to the test."""
        model = self.run.model
        poisoned = self.run.features([spot.row(model, (token,)) for spot in self.spots], self.where)
        com, diff = collapse(poisoned), closeness(self.clean, poisoned)
        slack = min(com - self.gate.collapse, self.gate.closeness - diff)
        return Found((token,), text_of(model, (token,)), {"com": com, "diff": diff}, slack)
