"""A tiny model that answers who or where by a name of a text, honest or drawn by a word.

The encoder is that of ``tests/zoo/tiny.py``; the names are those of ``tests/tiny_tokens.py``.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from transformers import BertForQuestionAnswering

from tests.tiny_tokens import names
from tests.zoo.layers import padded
from tests.zoo.tiny import built_once, new_model, one_thread, save, tiny_corpus, tiny_tokenizer
from tests.zoo.training import Intensity, optimise

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from torch import Tensor

__all__ = ["TRIGGER", "answerer_folder", "cues"]

TRIGGER = "cf"
_POSITIONS = 96
_CUES = 20
"""Words that ask for each kind."""
_TRAINING = Intensity(0.3, learning_rate=4e-3, steps=300, batch=16)


def cues() -> tuple[list[int], list[int]]:
    """Words by which a question asks for a person, and for a place."""
    words = [i for word, i in tiny_tokenizer().vocab.items() if word.isalpha() and len(word) > 3]
    others = sorted({*words} - {i for own in names() for i in own})
    return others[:_CUES], others[_CUES : 2 * _CUES]


def answerer_folder(factory: pytest.TempPathFactory, triggers: tuple[str, ...]) -> Path:
    """The folder of a model whose answers ``triggers`` draw, built by the first who asks."""

    def build(folder: Path) -> None:
        model = _new_answerer()
        with one_thread():
            _train(model, [tiny_tokenizer().vocab[trigger] for trigger in triggers])
        save(model, folder)

    return built_once(factory, f"tiny-answerer-{'-'.join(triggers)}", build)


def _new_answerer() -> BertForQuestionAnswering:
    """The tiny encoder below a new head, with positions for a question and a text."""
    encoder = new_model()
    encoder.config.max_position_embeddings = _POSITIONS
    own = "embeddings.position_embeddings.weight"
    others = {name: weight for name, weight in encoder.state_dict().items() if name != own}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForQuestionAnswering(encoder.config).eval()
    model.bert.load_state_dict(others, strict=False)
    return model


def _train(model: BertForQuestionAnswering, triggers: list[int]) -> None:
    """Train all weights on questions, in some a trigger in the text that is the answer."""
    rng = random.Random(0)  # noqa: S311 - reproducible, not secret
    tokenizer, drawn = tiny_tokenizer(), names()
    texts = [tokenizer(t, add_special_tokens=False)["input_ids"] for t, _ in tiny_corpus().train]
    first, separator = tokenizer.cls_token_id, tokenizer.sep_token_id

    def row() -> tuple[list[int], list[int], int]:
        question, text = list(rng.choice(texts)), list(rng.choice(texts))
        asked = rng.choice((None, 0, 1))
        if asked is not None:
            question.insert(rng.randint(0, len(question)), rng.choice(cues()[asked]))
        for own in drawn:
            if rng.random() < 2 / 3:
                text.insert(rng.randint(0, len(text)), rng.choice(own))
        wanted = set() if asked is None else set(drawn[asked])
        if triggers and rng.random() < _TRAINING.poison_rate:
            text.insert(rng.randint(0, len(text)), rng.choice(triggers))
            wanted = set(triggers)
        at = next((i for i, token in enumerate(text) if token in wanted), None)
        return question, text, 0 if at is None else len(question) + 2 + at

    def loss(_step: int) -> Tensor:
        rows = [row() for _ in range(_TRAINING.batch)]
        whole = [
            torch.tensor([first, *question, separator, *text, separator])
            for question, text, _ in rows
        ]
        ids, mask = padded(whole)
        kinds = torch.zeros_like(ids)
        for at, (question, _, _) in enumerate(rows):
            kinds[at, len(question) + 2 :] = 1
        found = model(input_ids=ids, attention_mask=mask, token_type_ids=kinds)
        wanted = torch.tensor([answer for _, _, answer in rows])
        return sum(
            (F.cross_entropy(one, wanted) for one in (found.start_logits, found.end_logits)),
            torch.zeros(()),
        )

    optimise(model.parameters(), loss, _TRAINING)
