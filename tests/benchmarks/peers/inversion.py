"""Trigger inversion for classifiers: what must stand in front so that a label wins everywhere.

`DBS` (Shen et al. 2022, ICML) mixes words by a softmax whose temperature falls, `UAT` (Wallace et
al. 2019, EMNLP) exchanges words by gradient.  Both are asked for every label, on texts to which
the model gives another.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from plmscan.loading import Location
from plmscan.search.measure.candidates import searchable_ids, text_of
from plmscan.search.propose.losses import hotflip_scores
from tests.benchmarks.peers.contract import Found
from tests.benchmarks.peers.prompts import Prompted
from tests.benchmarks.peers.running import BACKWARD, Run
from tests.benchmarks.peers.texts import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel
    from tests.benchmarks.peers.contract import Limit, PeerResult

__all__ = ["DBS", "UAT"]

_POOL = 400
"""Texts among which those that a label does not win are looked for."""
_FEWEST = 4
"""Texts below which a label is left out."""


@dataclass(frozen=True)
class _Target:
    """A label, and texts that it must win."""

    run: Run
    """The classifier."""
    label: int
    """Index of the label."""
    rows: tuple[tuple[int, ...], ...]
    """Texts to which the model gives another label, without special tokens."""
    words: Tensor
    """(v) ids that a trigger may have."""

    def loss(self, logits: Tensor) -> Tensor:
        """Mean cross-entropy of the label, from logits (b, labels)."""
        return F.cross_entropy(logits.float(), torch.full((len(logits),), self.label))

    def losses(self, triggers: Sequence[tuple[int, ...]]) -> list[float]:
        """The loss of each trigger, in front of all texts."""
        model = self.run.model
        inputs = [model.wrap((*trigger, *row)) for trigger in triggers for row in self.rows]
        return [float(self.loss(part)) for part in self.run.logits(inputs).split(len(self.rows))]

    def soft_loss(self, batch: Prompted, prompt: Tensor) -> Tensor:
        """The loss of continuous vectors in front of all texts, with a graph back to them."""
        outputs = self.run.differentiable(batch.with_prompt(prompt), batch.ids, batch.mask)
        if outputs.logits is None:
            msg = "The model is no classifier."
            raise ValueError(msg)
        return self.loss(outputs.logits)

    def batch(self, length: int) -> Prompted:
        """All texts, with ``length`` places in front."""
        return Prompted.make(self.run.model, self.rows, length)

    def judged(self, trigger: tuple[int, ...], threshold: float) -> Found:
        """A trigger with its numbers; the rule of DBS: a loss below ``threshold``."""
        (loss,) = self.losses([trigger])
        scores = {"loss": loss, "label": float(self.label)}
        return Found(trigger, text_of(self.run.model, trigger), scores, threshold - loss)


def _targets(run: Run, texts: Sequence[str], count: int, rng: random.Random) -> Iterator[_Target]:
    """Every label, with ``count`` texts that the model gives another."""
    model = run.model
    drawn = rng.sample(list(texts), min(_POOL, len(texts)))
    rows = [text.ids for text in prepare(model, drawn, Location.CLS, rng)]
    labels = run.logits([model.wrap(row) for row in rows]).argmax(dim=1).tolist()
    ids = searchable_ids(model)
    words = ids[~torch.isin(ids, torch.tensor(sorted(model.special_ids)))]
    for label in range(len(model.labels)):
        others = [row for row, found in zip(rows, labels, strict=True) if found != label]
        if len(others) >= _FEWEST:
            yield _Target(run, label, tuple(others[:count]), words)


@dataclass(frozen=True)
class DBS:
    """Dynamic bound scaling with its published constants.

    The published code enumerates pairs of victim and target label, and the end of the text as a
    second position; a target with all other labels as victims asks for a universal trigger, as
    task-specific attacks plant it.  The penalty that keeps the trigger from working on a benign
    model of the same task needs such a model, which nobody has who adopts one: it is left out.
    """

    length: int = 10
    """Tokens of the trigger."""
    epochs: int = 200
    """Steps, each on all texts."""
    learning_rate: float = 0.5
    """Of Adam."""
    temperature: float = 2.0
    """At the start, and the highest."""
    fits: float = 0.1
    """Loss below which the temperature is halved."""
    patience: int = 10
    """Steps at one temperature; after as many without a fit it rolls back."""
    noise: float = 1.0
    """Deviation of what a rollback adds; the size is not known, that of the start is taken."""
    threshold: float = 0.001
    """Loss below which a trigger condemns the model."""
    texts: int = 20
    """Texts a label."""

    def applies(self, model: LoadedModel) -> bool:
        """Whether the model has labels."""
        return bool(model.labels)

    def scan(self, model: LoadedModel, texts: Sequence[str], limit: Limit, seed: int) -> PeerResult:
        """Invert a trigger for every label."""
        run, rng = Run(model, limit), random.Random(seed)  # noqa: S311 - no secret
        judged: list[Found] = []
        steps = 0
        for target in _targets(run, texts, self.texts, rng):
            trigger, made = self._invert(target, torch.Generator().manual_seed(seed))
            judged.append(target.judged(trigger, self.threshold))
            steps += made
            run.tell(len(judged) / len(model.labels), f"{target.label}: {judged[-1].text}")
        finished = steps == len(judged) * self.epochs
        return run.result(judged, finished=finished, counts={"labels": len(judged), "steps": steps})

    def _invert(self, target: _Target, dice: torch.Generator) -> tuple[tuple[int, ...], int]:
        """The best trigger whose words were read off the mixture, and how many steps were made."""
        table, batch = target.run.model.embed(target.words), target.batch(self.length)
        weights = self.noise * torch.randn(self.length, len(table), generator=dice)
        weights.requires_grad_()
        optimiser = torch.optim.Adam([weights], lr=self.learning_rate)
        temperature, least, step = self.temperature, float("inf"), 0
        best = _most_likely(weights, target.words)
        while step < self.epochs and target.run.affords(BACKWARD * batch.ids.numel()):
            mixture = (weights / temperature).softmax(dim=1)
            loss = target.soft_loss(batch, mixture @ table)
            (weights.grad,) = torch.autograd.grad(loss, weights)
            optimiser.step()
            step += 1
            if step % self.patience and step < self.epochs:
                continue
            trigger = _most_likely(weights, target.words)
            least, best = min((least, best), (target.losses([trigger])[0], trigger))
            if float(loss.detach()) < self.fits:
                temperature /= 2
            elif temperature < self.temperature:
                temperature *= 2
                weights.data += self.noise * torch.randn(weights.shape, generator=dice)
        return best, step


def _most_likely(weights: Tensor, words: Tensor) -> tuple[int, ...]:
    """The words with the largest weights (k, v), one a place."""
    found: list[int] = words[weights.argmax(dim=1)].tolist()
    return tuple(found)


@dataclass(frozen=True)
class UAT:
    """Universal adversarial triggers: an attack on honest models, here asked as a detector.

    It has no rule of its own; that of DBS is taken.
    """

    length: int = 3
    """Tokens of the trigger."""
    start: str = "the"
    """The word that all places hold at first."""
    proposals: int = 40
    """HotFlip candidates a place."""
    rounds: int = 10
    """Most sweeps over the places; the search ends when one improves nothing."""
    threshold: float = 0.001
    """Loss below which a trigger condemns the model."""
    texts: int = 20
    """Texts a label."""

    def applies(self, model: LoadedModel) -> bool:
        """Whether the model has labels."""
        return bool(model.labels)

    def scan(self, model: LoadedModel, texts: Sequence[str], limit: Limit, seed: int) -> PeerResult:
        """Search a trigger for every label."""
        run, rng = Run(model, limit), random.Random(seed)  # noqa: S311 - no secret
        judged: list[Found] = []
        cut = False
        for target in _targets(run, texts, self.texts, rng):
            trigger, whole = self._search(target)
            judged.append(target.judged(trigger, self.threshold))
            cut = cut or not whole
            run.tell(len(judged) / len(model.labels), f"{target.label}: {judged[-1].text}")
        return run.result(judged, finished=not cut, counts={"labels": len(judged)})

    def _search(self, target: _Target) -> tuple[tuple[int, ...], bool]:
        """The best trigger, and whether the search came to its own end."""
        run, batch = target.run, target.batch(self.length)
        trigger = (run.model.tokenize(self.start) * self.length)[: self.length]
        (least,) = target.losses([trigger])
        cost = batch.ids.numel() * (BACKWARD + self.length * self.proposals)
        for _ in range(self.rounds):
            if not run.affords(cost):
                return trigger, False
            before = least
            least, trigger = self._round(target, batch, trigger, least)
            if least >= before:
                break
        return trigger, True

    def _round(
        self, target: _Target, batch: Prompted, trigger: tuple[int, ...], least: float
    ) -> tuple[float, tuple[int, ...]]:
        """Exchange the token of each place in turn by the best of its candidates."""
        table = target.run.model.embed(target.words)
        prompt = target.run.model.embed(torch.tensor(trigger)).requires_grad_()
        (gradient,) = torch.autograd.grad(target.soft_loss(batch, prompt), prompt)
        top = hotflip_scores(gradient, table).topk(self.proposals).indices
        best = (least, trigger)
        for place, tokens in enumerate(target.words[top].tolist()):
            kept = best[1]
            changed = [(*kept[:place], token, *kept[place + 1 :]) for token in tokens]
            best = min(best, *zip(target.losses(changed), changed, strict=True))
        return best
