"""Several triggers at once, by contrast (Patronus: Zhao et al. 2025).

K slots hold a candidate of L tokens each.  The features of carriers with candidate k are a class,
clean carriers another, and the loss pulls every class together and all classes apart:

    loss = - temperature * mean over rows i, over others j of its class, of
             log( exp(f_i f_j / temperature) / sum over all other rows a of exp(f_i f_a / t) )

so that K slots settle on K different outputs that do not depend on the carrier.  One backward pass,
a few slots at a time, proposes tokens for all of them.  What a candidate does to its carriers does
not depend on the other slots, so one forward pass over all proposals serves every combination of
them, and the beam that chooses among combinations is arithmetic.

What was rejected on the way is the null of what was kept: the losers are as much selected from the
vocabulary, step by step, and were tried in the same carriers.  Triggers that stand out from them
are confirmed: they leave the vocabulary, keep repelling the slots as classes of their own, and the
slots start anew.  What is known from elsewhere does so from the start.  When nothing stands out,
nothing is there, and the search ends.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch

from plmscan.search.measure.readings import Reading, gradients, read
from plmscan.search.propose.losses import hotflip_scores, supervised_contrastive
from plmscan.search.propose.objectives import Invariance
from plmscan.statistics import robust_z

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from plmscan.budget import Budget
    from plmscan.loading import LoadedModel, Location
    from plmscan.search.measure.readings import Panel

__all__ = ["PATRONUS_ZHAO_2025", "PLMSCAN", "Contrast", "Contrasted", "Contrastive"]

_TINY = 1e-6
"""A feature that no carrier moves is left alone."""

_FEWEST = 20
"""Losers; below this a robust spread means little."""

_TOGETHER = 3
"""Slots of one backward pass; with all six a check of BERT large peaked at 3450 MB, with three at
2884 (`python -m tests.benchmarks.speed`)."""

Trigger = tuple[int, ...]
"""Tokens of one slot."""


@dataclass(frozen=True)
class Contrast:
    """Sizes of one contrastive search."""

    slots: int
    """Candidates that are optimised together, K."""
    length: int
    """Tokens of each, L."""
    rounds: int
    """Starts from random tokens, at most."""
    steps: int
    """Backward passes a round."""
    carriers: int
    """Carriers of each candidate; the clean class is as large."""
    proposals: int
    """Tokens that the gradient proposes for one place of each slot."""
    width: int
    """Combinations that the beam keeps."""
    temperature: float = 0.5
    """Of the contrastive loss."""
    standardised: bool = True
    """Whether features are seen from the clean mean, in clean standard deviations."""
    stands_out: float = 5.0
    """Robust z among the losers from which on a candidate is confirmed.  Measured on tiny models:
    6.8 and more for planted triggers, up to 4.5 without any."""


PATRONUS_ZHAO_2025 = Contrast(
    slots=8,
    length=1,
    rounds=5,
    steps=3,
    carriers=32,
    proposals=5,
    width=3,
    standardised=False,
)
"""The published constants: five loops of six steps, of which two at 16 texts make one update.

The trigger stands once in each text, not three times, and every text meets every trigger.
"""

PLMSCAN = Contrast(
    slots=6, length=2, rounds=3, steps=10, carriers=6, proposals=6, width=2, temperature=0.2
)
"""Ours: two tokens, since the sweep has tried every single one; few carriers and more steps."""


@dataclass(frozen=True)
class Contrasted:
    """What came of a search."""

    confirmed: tuple[Trigger, ...]
    """Triggers that stood out, in the order of the rounds."""
    rounds: int
    """Starts that were made; 0 if the vocabulary is too small for one."""


@dataclass(frozen=True)
class Contrastive:
    """The search of one model."""

    model: LoadedModel
    """The model."""
    ids: Tensor
    """Ids that a text can hold, (v)."""
    panel: Panel
    """Carriers; the first of them serve."""
    recipe: Contrast
    """How much is done."""
    found: tuple[Trigger, ...] = ()
    """Triggers that are known: they repel the slots from the start."""

    def search(self, budget: Budget) -> Contrasted:
        """Rounds until one confirms nothing, or no token is left to start from.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        rng = random.Random(budget.seed)  # noqa: S311 - reproducible, not secret
        count = min(self.recipe.carriers, len(self.panel.carriers))
        seen = _Seen.of(self.model, self.panel.pick(range(count)), self.recipe)
        confirmed, known = self.found, len(self.found)
        seen.look(confirmed)
        for done in range(self.recipe.rounds):
            part = budget.part(done / self.recipe.rounds, (done + 1) / self.recipe.rounds)
            slots = self._round(seen, confirmed, rng, part)
            if not slots:
                return Contrasted(confirmed[known:], done)
            fresh = seen.outstanding(slots, confirmed)
            if not fresh:
                return Contrasted(confirmed[known:], done + 1)
            confirmed += fresh
        return Contrasted(confirmed[known:], self.recipe.rounds)

    def _round(
        self, seen: _Seen, confirmed: tuple[Trigger, ...], rng: random.Random, budget: Budget
    ) -> tuple[Trigger, ...]:
        """From random tokens to the best combination of slots, as many as the vocabulary fills."""
        recipe = self.recipe
        taken = torch.tensor([token for trigger in confirmed for token in trigger])
        free = self.ids[~torch.isin(self.ids, taken)]
        fitting = min(recipe.slots, len(free) // recipe.length)
        if fitting == 0:
            return ()
        tokens = rng.sample(free.tolist(), fitting * recipe.length)
        slots = tuple(zip(*[iter(tokens)] * recipe.length, strict=True))
        seen.look(slots)
        for step in range(recipe.steps):
            budget.checkpoint(step / recipe.steps, "contrastive search")
            places = [rng.randrange(recipe.length) for _ in slots]
            options = self._proposals(seen, slots, confirmed, places, free)
            seen.look([one for choices in options for one in choices])
            slots = seen.beam(slots, options, confirmed)
            if 4 * step >= recipe.steps and not seen.promising(slots, confirmed):
                break
        return slots

    def _proposals(
        self,
        seen: _Seen,
        slots: tuple[Trigger, ...],
        confirmed: tuple[Trigger, ...],
        places: Sequence[int],
        free: Tensor,
    ) -> list[list[Trigger]]:
        """Each slot with other tokens at its place."""
        gradient = self._gradient(seen, slots, confirmed)
        at_places = gradient[torch.arange(len(slots)), places]
        scores = hotflip_scores(at_places, self.model.embedding_weight)[:, free]
        best = scores.topk(min(self.recipe.proposals, len(free))).indices.cpu()
        return [
            [(*slot[:at], new, *slot[at + 1 :]) for new in free[row].tolist() if new not in slot]
            for slot, at, row in zip(slots, places, best, strict=True)
        ]

    def _gradient(
        self, seen: _Seen, slots: tuple[Trigger, ...], confirmed: tuple[Trigger, ...]
    ) -> Tensor:
        """Of the loss at the input of each token of each slot, over all carriers, (K, L, e).

        What the loss asks of each feature is known, since all slots were read before. So a few go
        through the model at a time, and no more of their states are held.
        """
        asked, carriers = seen.asked(slots, confirmed), seen.panel.carriers
        found = []
        for start in range(0, len(slots), _TOGETHER):
            few = slice(start, start + _TOGETHER)
            inserted = [[slot] * len(carriers) for slot in slots[few]]
            found.append(gradients(self.model, inserted, carriers, partial(seen.given, asked[few])))
        return torch.cat(found)


@dataclass(frozen=True)
class _Seen:
    """What the model said of every trigger that was tried, each once."""

    model: LoadedModel
    """The model."""
    panel: Panel
    """Carriers of every trigger."""
    recipe: Contrast
    """Temperature and the like."""
    standard: Mapping[Location, tuple[Tensor, Tensor]]
    """Mean and deviation of the features of clean carriers, each (h)."""
    known: dict[Trigger, Mapping[Location, Tensor]] = field(default_factory=dict)
    """Features of carriers with the trigger, (n, h) a location, standardised."""
    scores: dict[Trigger, float] = field(default_factory=dict)
    """Invariance of each."""

    @classmethod
    def of(cls, model: LoadedModel, panel: Panel, recipe: Contrast) -> _Seen:
        """Nothing but the clean carriers."""
        standard = {where: _moments(f, recipe) for where, f in panel.clean.features.items()}
        seen = cls(model, panel, recipe, standard)
        (seen.known[()],) = seen.rows(Reading.joined([panel.clean], torch.stack))
        return seen

    def look(self, triggers: Iterable[Trigger]) -> None:
        """Read what was not read before."""
        fresh = [one for one in dict.fromkeys(triggers) if one not in self.known]
        if not fresh:
            return
        with torch.no_grad():
            dirty = read(self.model, fresh, self.panel.carriers)
            scores = Invariance()(dirty, self.panel.clean).tolist()
        self.known.update(zip(fresh, self.rows(dirty), strict=True))
        self.scores.update(zip(fresh, scores, strict=True))

    def rows(self, dirty: Reading) -> list[dict[Location, Tensor]]:
        """Standardised features of each candidate, k times (n, h) a location."""
        features = {
            where: (feature - self.standard[where][0]) / self.standard[where][1]
            for where, feature in dirty.features.items()
        }
        count = len(next(iter(features.values())))
        return [{where: feature[k] for where, feature in features.items()} for k in range(count)]

    def features(self, triggers: Iterable[Trigger]) -> list[Mapping[Location, Tensor]]:
        """Of triggers that were read."""
        return [self.known[one] for one in triggers]

    def asked(
        self, triggers: Sequence[Trigger], others: Sequence[Trigger]
    ) -> list[dict[Location, Tensor]]:
        """Gradient of the loss at the features of each of ``triggers``, (n, h) a location."""
        classes = [
            {where: one.detach().requires_grad_() for where, one in row.items()}
            for row in self.features(triggers)
        ]
        loss = self.losses([[*self.features(others), *classes]]).sum()
        leaves = [one for row in classes for one in row.values()]
        found = iter(torch.autograd.grad(loss, leaves))
        return [{where: next(found) for where in row} for row in classes]

    def given(self, asked: Sequence[Mapping[Location, Tensor]], dirty: Reading) -> Tensor:
        """What features give of what is asked of them: a number with the gradient of the loss."""
        pairs = zip(self.rows(dirty), asked, strict=True)
        return torch.stack([(row[w] * one[w]).sum() for row, one in pairs for w in one]).sum()

    def losses(self, combinations: Sequence[Sequence[Mapping[Location, Tensor]]]) -> Tensor:
        """Contrastive loss of each combination of so many classes and clean text, (c).

        In the mean over the locations.
        """
        groups = [[self.known[()], *classes] for classes in combinations]
        labels = torch.arange(len(groups[0])).repeat_interleave(len(self.panel.carriers))
        found = [
            supervised_contrastive(
                torch.stack([torch.cat([one[where] for one in group]) for group in groups]),
                labels,
                self.recipe.temperature,
            )
            for where in self.standard
        ]
        return torch.stack(found).mean(0)

    def beam(
        self,
        slots: tuple[Trigger, ...],
        options: Sequence[Sequence[Trigger]],
        confirmed: tuple[Trigger, ...],
    ) -> tuple[Trigger, ...]:
        """The best combination after each slot in turn kept what it had or took an option."""
        beams = [slots]
        for slot, choices in enumerate(options):
            grown = [
                (*kept[:slot], one, *kept[slot + 1 :])
                for kept in beams
                for one in (kept[slot], *choices)
                if one == kept[slot] or one not in kept
            ]
            losses = self.losses([self.features((*confirmed, *one)) for one in grown]).tolist()
            known = dict(zip(grown, losses, strict=True))
            beams = sorted(known, key=known.__getitem__)[: self.recipe.width]
        return beams[0]

    def outstanding(
        self, slots: Sequence[Trigger], confirmed: Sequence[Trigger]
    ) -> tuple[Trigger, ...]:
        """Slots that stand out from the losers."""
        far = self._far(slots, confirmed)
        return tuple(one for one, z in zip(slots, far, strict=False) if z >= self.recipe.stands_out)

    def promising(self, slots: Sequence[Trigger], confirmed: Sequence[Trigger]) -> bool:
        """Whether a slot is half as far out as one that stands out, or that cannot be told yet."""
        far = self._far(slots, confirmed)
        return not far or max(far) >= self.recipe.stands_out / 2

    def _far(self, slots: Sequence[Trigger], confirmed: Sequence[Trigger]) -> list[float]:
        """Robust z of each slot among the losers: what was tried and shares no token with a winner.

        Once a gradient finds a trigger, it is proposed for every slot, and most losers hold it.
        Empty while there are too few losers to tell.
        """
        held = {token for trigger in (*slots, *confirmed) for token in trigger}
        losers = [score for one, score in self.scores.items() if held.isdisjoint(one)]
        if len(losers) < _FEWEST:
            return []
        own = torch.tensor([self.scores[one] for one in slots])
        found: list[float] = robust_z(own, torch.tensor(losers)).tolist()
        return found


def _moments(clean: Tensor, recipe: Contrast) -> tuple[Tensor, Tensor]:
    """Mean and deviation of clean features (n, h), each (h); 0 and 1 to leave them as they are."""
    if not recipe.standardised:
        return torch.zeros_like(clean[0]), torch.ones_like(clean[0])
    return clean.mean(0), clean.std(0).clamp_min(_TINY)
