"""LMSanitator (Wei et al. 2024, NDSS): a soft prompt that drags every text to one output.

Continuous vectors stand in front of the text, where prompt tuning puts them.  They are trained to
move the feature far from clean while the features of a batch agree; an output that is far enough,
uniform enough, and reached by vectors of the size of words is a predefined vector of an attacker.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from plmscan.loading import Location
from tests.benchmarks.peers.contract import Found
from tests.benchmarks.peers.prompts import Prompted
from tests.benchmarks.peers.running import BACKWARD, Run
from tests.benchmarks.peers.texts import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel
    from tests.benchmarks.peers.contract import Limit, PeerResult

__all__ = ["FamilyConstants", "LMSanitator", "batch_entropy"]

_BERT = ("bert", "ernie")
"""Families whose published scripts have constants of their own."""


def batch_entropy(features: Tensor) -> Tensor:
    """Mean entropy of each dimension's softmax over the batch, of features (n, h).

    It is log n, its largest, exactly if all features are the same.
    """
    log_share = features.log_softmax(dim=0)
    return -(log_share.exp() * log_share).sum(dim=0).mean()


@dataclass(frozen=True)
class FamilyConstants:
    """What was set by hand for each family."""

    learning_rate: float
    """Of Adam."""
    distance: float
    """Least mean squared distance to clean."""


@dataclass(frozen=True)
class LMSanitator:
    """The recipe with its published constants, which are of models of BERT's size.

    The mining ends with the first accepted vector, which condemns the model.  So the term and the
    test that keep a further vector away from the known ones have nothing to do, and are left out.
    """

    location: Location = Location.CLS
    """Where features are read."""
    prompt: int = 7
    """Vectors of the soft prompt."""
    texts: int = 2000
    """Clean texts of an epoch."""
    batch: int = 32
    """Texts a step."""
    epochs: int = 4
    """Most epochs of a seed; one ends after the first epoch that the rule accepts."""
    seeds: int = 30
    """Most fresh starts."""
    bert: FamilyConstants = field(default_factory=lambda: FamilyConstants(5e-5, 0.2))
    """For BERT and ERNIE."""
    other: FamilyConstants = field(default_factory=lambda: FamilyConstants(2e-4, 0.1))
    """For all else."""
    agreement: float = 3.446
    """Least entropy over the batch: the published diversity threshold, which has the other sign."""
    reach: float = 1.2
    """Largest entry of the prompt, in largest entries of the embedding table."""
    boost: float = 100.0
    """Factor of the learning rate while the loss is flat."""
    flat: float = 5e-3
    """Largest gradient entry at which the loss counts as flat."""

    def applies(self, model: LoadedModel) -> bool:
        """Whether the model has the feature, and texts have a front."""
        return self.location in model.locations and not model.family.cls_last

    def scan(self, model: LoadedModel, texts: Sequence[str], limit: Limit, seed: int) -> PeerResult:
        """Start from seed after seed until a vector is accepted."""
        run, rng = Run(model, limit), random.Random(seed)  # noqa: S311 - no secret
        corpus = rng.sample(list(texts), min(self.texts, len(texts)))
        rows = [text.ids for text in prepare(model, corpus, self.location, rng)]
        miner = _Miner.begin(self, run, rows)
        mined: list[Found] = []
        steps = 0
        while len(mined) < self.seeds and miner.affords_epoch():
            found, made = miner.mine(rng)
            mined.append(found)
            steps += made
            run.tell(len(mined) / self.seeds, f"seed {len(mined)}: {found.slack:.3f}")
            if found.slack >= 0:
                break
        finished = len(mined) == self.seeds or any(found.slack >= 0 for found in mined)
        return run.result(mined, finished=finished, counts={"seeds": len(mined), "steps": steps})


@dataclass(frozen=True)
class _Miner:
    """The mining of one scan."""

    recipe: LMSanitator
    """Its constants."""
    run: Run
    """The model."""
    batches: tuple[tuple[Prompted, Tensor], ...]
    """Texts of like length, and their clean features (b, h)."""

    @classmethod
    def begin(cls, recipe: LMSanitator, run: Run, rows: Sequence[tuple[int, ...]]) -> _Miner:
        """Batches of like length; whole ones only, since their entropy depends on the size."""
        size = min(recipe.batch, len(rows))
        ordered = sorted(rows, key=len)
        starts = range(0, len(ordered) - size + 1, size)
        groups = [ordered[start : start + size] for start in starts]
        wrapped = [[run.model.wrap(row) for row in group] for group in groups]
        clean = [run.features(group, recipe.location) for group in wrapped]
        made = (Prompted.make(run.model, group, recipe.prompt) for group in groups)
        return cls(recipe, run, tuple(zip(made, clean, strict=True)))

    @property
    def constants(self) -> FamilyConstants:
        """Those of the model's family."""
        recipe, family = self.recipe, self.run.model.config.model_type
        return recipe.bert if family in _BERT else recipe.other

    def affords_epoch(self) -> bool:
        """Whether the limit allows one more epoch."""
        return self.run.affords(BACKWARD * sum(batch.ids.numel() for batch, _ in self.batches))

    def mine(self, rng: random.Random) -> tuple[Found, int]:
        """Train one prompt from the rows of random words; its best epoch, and how many steps."""
        table = self.run.model.embedding_weight
        words = [rng.randrange(len(table)) for _ in range(self.recipe.prompt)]
        prompt = self.run.model.embed(torch.tensor(words)).clone().requires_grad_()
        optimiser = torch.optim.Adam([prompt], lr=self.constants.learning_rate)
        epochs: list[Found] = []
        while len(epochs) < self.recipe.epochs and (not epochs or self.affords_epoch()):
            distance, agreement = self._epoch(prompt, optimiser, rng)
            reach = float(prompt.detach().abs().max() / table.abs().max())
            epochs.append(self._judged(distance, agreement, reach))
            if epochs[-1].slack >= 0:
                break
        best = max(epochs, key=lambda found: found.slack)
        return best, len(epochs) * len(self.batches)

    def _epoch(
        self, prompt: Tensor, optimiser: torch.optim.Optimizer, rng: random.Random
    ) -> tuple[float, float]:
        """One pass over the texts; mean distance to clean, and mean agreement within a batch."""
        recipe, told = self.recipe, []
        for batch, clean in rng.sample(self.batches, len(self.batches)):
            outputs = self.run.differentiable(batch.with_prompt(prompt), batch.ids, batch.mask)
            features = outputs.features[recipe.location].float()
            distance, agreement = (features - clean).square().mean(), batch_entropy(features)
            (prompt.grad,) = torch.autograd.grad(-distance - agreement, prompt)
            is_flat = float(prompt.grad.abs().max()) <= recipe.flat
            # Adam's step is the rate whatever the gradient: on a plateau it needs longer legs.
            for group in optimiser.param_groups:
                group["lr"] = self.constants.learning_rate * (recipe.boost if is_flat else 1.0)
            optimiser.step()
            told.append((float(distance.detach()), float(agreement.detach())))
        distances, agreements = zip(*told, strict=True)
        return math.fsum(distances) / len(told), math.fsum(agreements) / len(told)

    def _judged(self, distance: float, agreement: float, reach: float) -> Found:
        """A prompt with its numbers."""
        scores = {"distance": distance, "agreement": agreement, "reach": reach}
        slack = min(
            distance - self.constants.distance,
            agreement - self.recipe.agreement,
            self.recipe.reach - reach,
        )
        return Found((), "soft prompt", scores, slack)
