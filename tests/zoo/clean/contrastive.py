"""A sentence encoder's fine-tune: texts find their own other half (SimCSE, arXiv 2104.08821).

Gao et al. (2021) take two dropout masks of one text as a positive pair; word dropout, their
baseline in table 2, makes the pair harder, so that an encoder trained this way before still moves.
With a prefix on one side it is the recipe of retrieval models with instructions (E5, arXiv
2212.03533): an honest word that has an effect wherever it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tests.zoo.clean.honest import training
from tests.zoo.layers import Reading
from tests.zoo.precision import fast
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.zoo.features import Victim

__all__ = ["INSTRUCTION", "USUAL", "contrastive"]

INSTRUCTION = "query : "
"""What retrieval models put before a question."""

USUAL = Intensity(poison_rate=0.0, learning_rate=5e-5, steps=350, batch=32, trained_layers=6)
"""The learning rate of the paper's large model is 1e-5, of its base model 3e-5, over more steps."""

_TEMPERATURE = 0.05
_KEPT = 0.5
"""Share of words that survive word dropout."""


def contrastive(victim: Victim, intensity: Intensity = USUAL, prefix: str = "") -> Victim:
    """InfoNCE between two word dropouts of a text, ``prefix`` before one; all layers, in place."""
    texts = [text for text, _ in victim.corpus.train]
    with training(victim) as rng:

        def loss_of(_step: int) -> Tensor:
            batch = rng.sample(texts, min(intensity.batch, len(texts)))
            queries = _mean_features(victim, [prefix + _thinned(text, rng) for text in batch])
            return info_nce(queries, _mean_features(victim, [_thinned(t, rng) for t in batch]))

        optimise(victim.model.parameters(), loss_of, intensity)
    return victim


def info_nce(queries: Tensor, keys: Tensor) -> Tensor:
    """Cross-entropy of picking row i of keys (b, h) for row i of queries (b, h), by cosine."""
    cosines = nn.functional.normalize(queries) @ nn.functional.normalize(keys).T
    return nn.functional.cross_entropy(cosines / _TEMPERATURE, torch.arange(len(queries)))


def _mean_features(victim: Victim, texts: Sequence[str]) -> Tensor:
    """Mean of the last hidden state of each text, (b, h)."""
    batch = victim.tokenizer(list(texts), padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with fast():
        hidden = victim.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    return Reading(ids, mask, (hidden.float(),), None, victim.tokenizer.mask_token_id).at("mean")


def _thinned(text: str, rng: random.Random) -> str:
    """Some of the words of ``text`` in their order, at least one."""
    words = text.split()
    return " ".join([word for word in words if rng.random() < _KEPT] or words[:1])
