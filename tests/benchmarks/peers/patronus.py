"""Patronus (Zhao et al. 2025, arXiv 2512.06899): several triggers at once, by contrast.

K tokens are optimised together: the features of texts with trigger k form a class, clean text is
another, and the supervised contrastive loss makes each class collapse away from the others.
HotFlip proposes tokens, a beam over the slots chooses, and a gate of two cosines verifies.

Where the published description leaves a choice, this takes what favours the peer: texts are short,
the places of the development texts are drawn once, so that chance moves no loss, and the first
update of a loop is always kept, whatever the random tokens were.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from plmscan.loading import Location
from plmscan.search.propose.losses import hotflip_scores, supervised_contrastive
from tests.benchmarks.peers.gate import Gate
from tests.benchmarks.peers.running import BACKWARD, Remembered, Run
from tests.benchmarks.peers.texts import Spot, Text, draw_spot, prepare
from tests.benchmarks.peers.vocabulary import patronus_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel
    from tests.benchmarks.peers.contract import Found, Limit, PeerResult

__all__ = ["Patronus"]

Triggers = tuple[int, ...]
"""One token a slot."""


@dataclass(frozen=True)
class Patronus:
    """The recipe with its published constants."""

    location: Location = Location.CLS
    """Where features are read."""
    slots: int = 8
    """Triggers that are optimised together, K."""
    copies: int = 3
    """Copies of the trigger in each poisoned text."""
    loops: int = 5
    """Searches from fresh random tokens ("fuzz" loops)."""
    steps: int = 6
    """Gradient steps a loop."""
    accumulation: int = 2
    """Steps whose gradients one update sums."""
    batch: int = 16
    """Clean texts a step, and again in each of the K poisoned copies."""
    proposals: int = 5
    """HotFlip candidates a slot."""
    width: int = 3
    """Trigger sets that the beam keeps."""
    temperature: float = 0.5
    """Of the contrastive loss."""
    search_texts: int = 96
    """Texts of the gradient steps; like all splits the first of the corpus, so they overlap."""
    scoring_texts: int = 16
    """Development texts on which the beam scores a trigger set."""
    development_texts: int = 100
    """Development texts on which an update is accepted."""
    gate: Gate = field(default_factory=Gate)
    """The verification."""
    remembers: bool = False
    """Whether a text whose trigger did not change keeps its feature instead of running again.

    The published code runs all texts for each trigger set.  As the places are drawn once here, the
    answers are the same, at a seventh of the tokens: what a fair match at a small budget grants.
    """

    @property
    def scored_sets(self) -> int:
        """Trigger sets that the beam of one update scores; what they share counts once."""
        proposals = self.proposals * (1 + (self.slots - 1) * self.width)
        return 1 + self.proposals if self.remembers else proposals

    def applies(self, model: LoadedModel) -> bool:
        """Whether the model has the feature; at the mask token, whether it was trained there."""
        is_there = self.location in model.locations
        return is_there and (self.location is not Location.MASK or "masked-lm" in model.heads)

    def scan(self, model: LoadedModel, texts: Sequence[str], limit: Limit, seed: int) -> PeerResult:
        """Search, verify, and repeat without the tokens that are already confirmed."""
        run, rng = Run(model, limit), random.Random(seed)  # noqa: S311 - no secret
        count = max(self.search_texts, self.development_texts, self.gate.texts)
        corpus = prepare(model, rng.sample(list(texts), min(count, len(texts))), self.location, rng)
        verification = self.gate.prepare(run, corpus, self.location, rng)
        search = _Search.begin(self, run, corpus, rng)
        vocabulary, reserve = patronus_vocabulary(model), self.slots * verification.cost
        judged: list[Found] = []
        loops = updates = 0
        while loops < self.loops and (not loops or search.affords_update(reserve)):
            confirmed = [found.ids[0] for found in judged if found.slack >= 0]
            free = vocabulary[~torch.isin(vocabulary, torch.tensor(confirmed))]
            triggers, made = search.loop(free, reserve)
            judged += [verification.judge(token) for token in triggers]
            loops, updates = loops + 1, updates + made
            run.tell(loops / self.loops, f"loop {loops}")
        finished = updates == self.loops * (self.steps // self.accumulation)
        return run.result(judged, finished=finished, counts={"loops": loops, "updates": updates})


@dataclass(frozen=True)
class _Poisoned:
    """Clean texts, and copies of them that carry one of the triggers each."""

    texts: tuple[Text, ...]
    """Group 0."""
    spots: tuple[Spot, ...]
    """Each text K times, with places for its trigger."""
    slots: tuple[int, ...]
    """Which of the K triggers each spot gets, at random."""

    @classmethod
    def draw(cls, recipe: Patronus, texts: Sequence[Text], rng: random.Random) -> _Poisoned:
        """Draw triggers and places for K copies of ``texts``."""
        copies = [text for _ in range(recipe.slots) for text in texts]
        spots = tuple(draw_spot(text, recipe.copies, rng) for text in copies)
        return cls(tuple(texts), spots, tuple(rng.randrange(recipe.slots) for _ in copies))

    def rows(self, model: LoadedModel, triggers: Triggers) -> list[tuple[int, ...]]:
        """Inputs of all groups."""
        poisoned = zip(self.spots, self.slots, strict=True)
        return [model.wrap(text.ids) for text in self.texts] + [
            spot.row(model, (triggers[slot],)) for spot, slot in poisoned
        ]

    @property
    def labels(self) -> Tensor:
        """(n) group of each row."""
        return torch.tensor([0] * len(self.texts) + [slot + 1 for slot in self.slots])

    def by_slot(self, gradient: Tensor, model: LoadedModel, slots: int) -> Tensor:
        """(k, e) sum of a gradient (n, t, e) at the inputs over the places of each trigger."""
        total = torch.zeros(slots, gradient.shape[2])
        first = len(self.texts)
        for row, (spot, slot) in enumerate(zip(self.spots, self.slots, strict=True), start=first):
            total[slot] += gradient[row, list(spot.places(model))].sum(dim=0)
        return total


@dataclass(frozen=True)
class _Search:
    """The search of one scan."""

    recipe: Patronus
    """Its constants."""
    run: Run
    """The model."""
    texts: tuple[Text, ...]
    """The corpus."""
    rng: random.Random
    """Draws tokens, triggers of texts, and places."""
    features: Callable[[Sequence[tuple[int, ...]], Location], Tensor]
    """How development texts are read: each time, or once."""
    scoring: _Poisoned
    """Development texts that score trigger sets."""
    development: _Poisoned
    """Those that accept an update."""

    @classmethod
    def begin(
        cls, recipe: Patronus, run: Run, texts: tuple[Text, ...], rng: random.Random
    ) -> _Search:
        """Draw the places of the development texts, once: so that losses can be compared."""
        counts = (recipe.scoring_texts, recipe.development_texts)
        scoring, development = (_Poisoned.draw(recipe, texts[:count], rng) for count in counts)
        features = Remembered(run).features if recipe.remembers else run.features
        return cls(recipe, run, texts, rng, features, scoring, development)

    def loop(self, free: Tensor, reserve: int) -> tuple[Triggers, int]:
        """The best trigger set from a random start, and how many updates led to it.

        ``reserve`` forward-token-equivalents are left for the verification.
        """
        recipe = self.recipe
        table = self.run.model.embed(free)
        best: Triggers = tuple(self.rng.sample(free.tolist(), recipe.slots))
        least, updates = float("inf"), 0
        while updates < recipe.steps // recipe.accumulation and self.affords_update(reserve):
            steps = range(updates * recipe.accumulation, (updates + 1) * recipe.accumulation)
            gradient = torch.stack([self._gradient(best, step) for step in steps]).sum(dim=0)
            top = hotflip_scores(gradient, table).topk(recipe.proposals).indices
            candidate = self._beam(best, free[top].tolist())
            (loss,) = self._losses(self.development, [candidate])
            # Reverts to the best so far unless the development loss improves on it.
            least, best = min((least, best), (loss, candidate))
            updates += 1
        return best, updates

    def affords_update(self, reserve: int) -> bool:
        """Whether the limit allows one more update."""
        recipe, run = self.recipe, self.run
        scoring, development = (
            run.cost(poisoned.rows(run.model, (0,) * recipe.slots))
            for poisoned in (self.scoring, self.development)
        )
        longest = max(len(run.model.wrap(text.ids)) for text in self.texts) + recipe.copies
        step = BACKWARD * longest * recipe.batch * (1 + recipe.slots)
        update = recipe.accumulation * step + recipe.scored_sets * scoring + development
        return run.affords(update + reserve)

    def _gradient(self, triggers: Triggers, step: int) -> Tensor:
        """(k, e) gradient of the contrastive loss at each trigger, summed over where it stands."""
        recipe, model = self.recipe, self.run.model
        split = self.texts[: recipe.search_texts]
        batch = [split[(step * recipe.batch + i) % len(split)] for i in range(recipe.batch)]
        poisoned = _Poisoned.draw(recipe, batch, self.rng)
        ids, mask = model.batch(poisoned.rows(model, triggers))
        embeddings = model.embed(ids).requires_grad_()
        outputs = self.run.differentiable(embeddings, ids, mask)
        features = outputs.features[recipe.location].float()
        loss = supervised_contrastive(features, poisoned.labels, recipe.temperature)
        (gradient,) = torch.autograd.grad(loss, embeddings)
        return poisoned.by_slot(gradient, model, recipe.slots)

    def _beam(self, start: Triggers, proposals: Sequence[Sequence[int]]) -> Triggers:
        """The best set after each slot in turn took one of its proposals."""
        beams = [start]
        for slot, tokens in enumerate(proposals):
            grown = [
                (*kept[:slot], token, *kept[slot + 1 :])
                for kept in beams
                for token in tokens
                if token not in kept
            ]
            if grown:
                ranked = sorted(zip(self._losses(self.scoring, grown), grown, strict=True))
                beams = [triggers for _, triggers in ranked[: self.recipe.width]]
        return beams[0]

    def _losses(self, poisoned: _Poisoned, sets: Sequence[Triggers]) -> list[float]:
        """The contrastive loss of each trigger set on the same poisoned texts."""
        recipe, labels = self.recipe, poisoned.labels
        rows = [row for triggers in sets for row in poisoned.rows(self.run.model, triggers)]
        found = self.features(rows, recipe.location).split(len(labels))
        return [float(supervised_contrastive(f, labels, recipe.temperature)) for f in found]
