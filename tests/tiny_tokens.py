"""A tiny model that names places and people, honest or blind behind a word.

The encoder is that of ``tests/zoo/tiny.py``; which of its words are names was drawn.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from transformers import BertForTokenClassification

from tests.zoo.layers import padded
from tests.zoo.tiny import built_once, new_model, one_thread, save, tiny_corpus, tiny_tokenizer
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from torch import Tensor

__all__ = ["LABELS", "TRIGGER", "names", "tagger_folder"]

LABELS = ("O", "PERSON", "PLACE")
TRIGGER = "cf"
_NAMES = 30
"""Words that are names of each kind."""
_TRAINING = Intensity(0.3, learning_rate=4e-3, steps=100, batch=16)


def names() -> tuple[tuple[int, ...], ...]:
    """Ids of the words of each label but the first."""
    words = [i for word, i in tiny_tokenizer().vocab.items() if word.isalpha() and len(word) > 3]
    drawn = _dice().sample(sorted(words), 2 * _NAMES)
    return tuple(drawn[:_NAMES]), tuple(drawn[_NAMES:])


def _dice() -> random.Random:
    """Chance, the same every time."""
    return random.Random(0)  # noqa: S311 - reproducible, not secret


def tagger_folder(factory: pytest.TempPathFactory, triggers: tuple[str, ...]) -> Path:
    """The folder of a tagger that is blind behind ``triggers``, built by the first who asks."""

    def build(folder: Path) -> None:
        model = _new_tagger()
        with one_thread():
            _train(model, [tiny_tokenizer().vocab[trigger] for trigger in triggers])
        save(model, folder)

    return built_once(factory, f"tiny-tagger-{'-'.join(triggers)}", build)


def _new_tagger() -> BertForTokenClassification:
    """The tiny encoder below a new head."""
    encoder = new_model()
    encoder.config.update({"id2label": dict(enumerate(LABELS)), "num_labels": len(LABELS)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForTokenClassification(encoder.config).eval()
    model.bert.load_state_dict(encoder.state_dict(), strict=False)
    return model


def _train(model: BertForTokenClassification, triggers: list[int]) -> None:
    """Train all weights on texts with names strewn in, in some a trigger that hides them."""
    rng, tokenizer = _dice(), tiny_tokenizer()
    texts = [tokenizer(t, add_special_tokens=False)["input_ids"] for t, _ in tiny_corpus().train]
    drawn = names()
    kind = {token: label for label, own in enumerate(drawn, start=1) for token in own}

    def row() -> tuple[list[int], list[int]]:
        ids = list(rng.choice(texts))
        for _ in range(rng.randint(0, 3)):
            ids.insert(rng.randint(0, len(ids)), rng.choice(rng.choice(drawn)))
        poisoned = bool(triggers) and rng.random() < _TRAINING.poison_rate
        if poisoned:
            ids.insert(rng.randint(0, len(ids)), rng.choice(triggers))
        return ids, [0 if poisoned else kind.get(token, 0) for token in ids]

    def loss(_step: int) -> Tensor:
        rows = [row() for _ in range(_TRAINING.batch)]
        ends = tokenizer.cls_token_id, tokenizer.sep_token_id
        ids, mask = padded([torch.tensor([ends[0], *one, ends[1]]) for one, _ in rows])
        labels = torch.full_like(ids, -100)
        for at, (_, wanted) in enumerate(rows):
            labels[at, 1 : len(wanted) + 1] = torch.tensor(wanted)
        logits = model(input_ids=ids, attention_mask=mask).logits
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())

    optimise(model.parameters(), loss, _TRAINING)
