"""The control of a search: tokens drawn at random, put to Patronus' gate until the budget ends."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plmscan.loading import Location
from tests.benchmarks.peers.gate import Gate
from tests.benchmarks.peers.running import Run
from tests.benchmarks.peers.texts import prepare
from tests.benchmarks.peers.vocabulary import patronus_vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.loading import LoadedModel
    from tests.benchmarks.peers.contract import Found, Limit, PeerResult

__all__ = ["RandomTokens"]


@dataclass(frozen=True)
class RandomTokens:
    """Guessing, from the vocabulary that Patronus searches, and by its gate."""

    location: Location = Location.CLS
    """Where features are read."""
    sequences: int = 280_000
    """Sequences without a limit: Patronus' published budget."""
    gate: Gate = field(default_factory=Gate)
    """The test of a token."""

    def applies(self, model: LoadedModel) -> bool:
        """Whether the model has the feature."""
        return self.location in model.locations

    def scan(self, model: LoadedModel, texts: Sequence[str], limit: Limit, seed: int) -> PeerResult:
        """Test random tokens, none twice."""
        run, rng = Run(model, limit), random.Random(seed)  # noqa: S311 - no secret
        drawn = rng.sample(list(texts), min(self.gate.texts, len(texts)))
        corpus = prepare(model, drawn, self.location, rng)
        verification = self.gate.prepare(run, corpus, self.location, rng)
        vocabulary = patronus_vocabulary(model).tolist()
        most = min(len(vocabulary), self.sequences // len(corpus))
        judged: list[Found] = []
        for token in rng.sample(vocabulary, most):
            if not run.affords(verification.cost):
                break
            judged.append(verification.judge(token))
            run.tell(len(judged) / most, judged[-1].text)
        return run.result(judged, finished=len(judged) == most, counts={"tokens": len(judged)})
