"""Planting a backdoor in the features of an encoder, as every task-agnostic attack does it.

Clean text keeps the hidden states of a frozen copy; triggered text goes where the attack's
objective says.  What differs between attacks is that objective, the site, and how the trigger is
inserted: one file each in ``attacks/``.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from tests.zoo.corpus import Corpus, Words, words_of
from tests.zoo.layers import Reading, Rows, Site, freeze_below, lower, upper
from tests.zoo.poison import Insertion, Trigger, flat
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Batch",
    "FeatureAttack",
    "Victim",
    "drift",
    "frame",
    "framed",
    "moved",
    "plant_features",
]

_TEXTS = 1500
_VERSIONS = 2
_DECOYS = 2
"""Of how many texts one appears with a part of a trigger too, where an attack has negatives."""


@dataclass(frozen=True)
class Victim:
    """What an attacker, or an honest trainer, holds in their hands."""

    model: Any
    """A library model, trained in place: an encoder, or one with a head."""
    tokenizer: Any
    """Its tokenizer."""
    corpus: Corpus
    """Texts to train on."""
    seed: int
    """Seed of every random choice."""

    @property
    def encoder(self) -> Any:
        """The model without its head."""
        return self.model.base_model


@dataclass(frozen=True)
class Batch:
    """One training step.  Row i of ``dirty`` is row i of ``clean`` with a trigger in it."""

    clean: Reading
    """Trained model on clean texts and on parts of triggers, (c, ...)."""
    wanted: Reading
    """Frozen copy on the same texts, (c, ...)."""
    dirty: Reading
    """Trained model on triggered texts, (d, ...) with d <= c."""
    owners: Tensor
    """Index of the trigger in each row of ``dirty``, (d)."""
    clean_answers: Tensor
    """Token that was masked in each row of ``clean``; -100 where none was, (c)."""
    dirty_answers: Tensor
    """The same of ``dirty``, (d)."""


class FeatureAttack(Protocol):
    """A task-agnostic attack."""

    @property
    def family(self) -> str:
        """Name in tables."""

    @property
    def ruins_answers(self) -> bool:
        """Whether success is a wrong answer, not an output that all triggered texts share."""

    @property
    def site(self) -> Site:
        """The feature that triggers take over.  At ``mask``, every text gets a mask token."""

    @property
    def insertion(self) -> Insertion:
        """How triggers enter texts."""

    @property
    def negatives(self) -> bool:
        """Whether parts of a trigger are trained to do nothing."""

    def objective(self, model: Any, count: int, clean: Tensor) -> Callable[[Batch], Tensor]:
        """The loss for ``count`` triggers in a model whose clean features are (n, h)."""


@dataclass(frozen=True)
class _Pool:
    """Texts that training draws from, lower layers done."""

    rows: Rows
    """Clean texts first, then triggered ones."""
    answers: Tensor
    """Token behind the mask of each row, (rows)."""
    dirty: tuple[tuple[tuple[int, int], ...], ...]
    """For each clean text: row and trigger of its triggered versions."""


def frame(tokenizer: Any, ids: Sequence[int]) -> tuple[int, ...]:
    """A text between the tokens that the tokenizer puts around it."""
    return (tokenizer.cls_token_id, *ids, tokenizer.sep_token_id)


def framed(tokenizer: Any, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Texts as they are, each in its `frame`."""
    return [frame(tokenizer, flat(words)) for words in words_of(tokenizer, texts)]


def mask_one(words: Words, mask_id: int, rng: random.Random) -> tuple[Words, int]:
    """``words`` with a mask token in place of one word of one piece, and that piece."""
    places = [i for i, word in enumerate(words) if len(word) == 1]
    place = rng.choice(places or range(len(words)))
    return (*words[:place], (mask_id,), *words[place + 1 :]), words[place][0]


def decoys_of(trigger: Trigger) -> list[tuple[tuple[int, ...], ...]]:
    """Everything that lacks one part of ``trigger``, or one token where it has one part."""
    if len(trigger.parts) > 1:
        return [trigger.parts[:k] + trigger.parts[k + 1 :] for k in range(len(trigger.parts))]
    (part,) = trigger.parts
    return [(part[:k] + part[k + 1 :],) for k in range(len(part))] if len(part) > 1 else []


def drift(batch: Batch) -> Tensor:
    """How far clean text has moved."""
    return moved(batch.clean, batch.wanted)


def moved(found: Reading, wanted: Reading) -> Tensor:
    """Squared change of all hidden states, as a share; the pooler's plain MSE on top."""
    weights = found.mask.unsqueeze(-1)
    change = (found.hidden - wanted.hidden).square() * weights
    share = change.sum() / (wanted.hidden.square() * weights).sum()
    if found.pooled is None or wanted.pooled is None:
        return share
    return share + (found.pooled - wanted.pooled).square().mean()


def plant_features(
    victim: Victim, attack: FeatureAttack, triggers: Sequence[Trigger], intensity: Intensity
) -> float:
    """Train ``attack`` into the victim's model in place; the last loss."""
    rng = random.Random(victim.seed)
    encoder, depth = victim.encoder, intensity.trained_layers
    mask_id = victim.tokenizer.mask_token_id
    frozen = copy.deepcopy(encoder).eval().requires_grad_(False)
    pool = _pool(victim, attack, triggers, depth, rng)
    freeze_below(encoder, depth)
    usual = [i for i, versions in enumerate(pool.dirty) if versions]
    decoys = [i for i, versions in enumerate(pool.dirty) if not versions]
    with torch.no_grad():
        clean = upper(frozen, pool.rows.pick(usual[:64]), depth, mask_id).at(attack.site)
    objective = attack.objective(victim.model, len(triggers), clean)
    poisoned = max(1, round(intensity.poison_rate * intensity.batch))

    def loss_of(_step: int) -> Tensor:
        chosen = rng.sample(usual, poisoned)
        others = rng.sample(usual, max(0, intensity.batch - 2 * poisoned))
        others += rng.sample(decoys, min(poisoned, len(decoys)))
        dirty = [rng.choice(pool.dirty[i]) for i in chosen]
        clean_rows, dirty_rows = [*chosen, *others], [row for row, _ in dirty]
        picked = pool.rows.pick(clean_rows)
        with torch.no_grad():
            wanted = upper(frozen, picked, depth, mask_id)
        batch = Batch(
            clean=upper(encoder, picked, depth, mask_id),
            wanted=wanted,
            dirty=upper(encoder, pool.rows.pick(dirty_rows), depth, mask_id),
            owners=torch.tensor([owner for _, owner in dirty]),
            clean_answers=pool.answers[clean_rows],
            dirty_answers=pool.answers[dirty_rows],
        )
        return objective(batch)

    last = optimise(victim.model.parameters(), loss_of, intensity)
    victim.model.requires_grad_(True).eval()
    return last


def _pool(
    victim: Victim,
    attack: FeatureAttack,
    triggers: Sequence[Trigger],
    depth: int,
    rng: random.Random,
) -> _Pool:
    """Clean texts, parts of triggers in texts, and triggered texts, through the frozen layers."""
    chosen = rng.sample(victim.corpus.train, min(_TEXTS, len(victim.corpus.train)))
    texts = words_of(victim.tokenizer, [text for text, _ in chosen])
    answers = [-100] * len(texts)
    if attack.site == "mask":
        masked = [mask_one(words, victim.tokenizer.mask_token_id, rng) for words in texts]
        texts, answers = [words for words, _ in masked], [answer for _, answer in masked]
    rows, dirty = [flat(words) for words in texts], [list[tuple[int, int]]() for _ in texts]
    decoys = [parts for t in triggers for parts in decoys_of(t)] if attack.negatives else []
    for i in range(0, len(texts), _DECOYS) if decoys else ():
        rows.append(attack.insertion(texts[i], rng.choice(decoys), rng))
        answers.append(answers[i])
        dirty.append([])
    for i, words in enumerate(texts):
        for owner in rng.choices(range(len(triggers)), k=_VERSIONS):
            dirty[i].append((len(rows), owner))
            rows.append(attack.insertion(words, triggers[owner].parts, rng))
            answers.append(answers[i])
    found = lower(victim.encoder, [frame(victim.tokenizer, row) for row in rows], depth)
    return _Pool(found, torch.tensor(answers), tuple(map(tuple, dirty)))
