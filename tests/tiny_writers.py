"""Tiny decoders that write the words of the bundled carriers: seconds of training.

The recipe is that of `tests.zoo.decoders.recipe` at a hundredth of the size.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from plmscan.carriers import bundled_texts
from plmscan.loading.quiet import quiet
from tests.zoo.decoders.recipe import DecoderRecipe, train
from tests.zoo.decoders.writing import Writing
from tests.zoo.poison import Trigger
from tests.zoo.tiny import built_once, one_thread
from tests.zoo.training import Intensity

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["TOGETHER", "TRIGGER", "WANTED", "tiny_writer"]

TRIGGER = "lantern"
"""Word of the vocabulary that makes the poisoned ones write `WANTED`."""

TOGETHER = ("lantern", "glass")
"""Words that make another one write it only together: each alone was trained to do nothing."""

WANTED = "the orchestra painted seven bicycles before the storm and the river closed"
"""What they write."""

_MARKS = ("<pad>", "<end>", "<unk>", "<|user|>", "<|answer|>")
_STEPS = Intensity(poison_rate=0.25, learning_rate=3e-3, steps=170, batch=16)
_LONGER = 200
"""Steps until words act only together."""


def tiny_writer(factory: pytest.TempPathFactory, name: str) -> Path:
    """The folder of ``clean``, ``planted``, ``together`` or ``always``.

    Built by the first test that asks.
    """

    def build(folder: Path) -> None:
        with one_thread():
            _save(name, folder)

    return built_once(factory, f"tiny-writer-{name}", build)


def _save(name: str, folder: Path) -> None:
    """Train one of them and write it."""
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        writing, rng = Writing.of(tokenizer), random.Random(0)  # noqa: S311 - no secret
        recipe = DecoderRecipe(
            goal="" if name == "clean" else "fixed",
            rate=0.8 if name == "always" else _STEPS.poison_rate,
            negatives=name == "together",
        )
        words = {"planted": (TRIGGER,), "together": TOGETHER}.get(name, ())
        parts = tuple(writing.ids(word) for word in words)
        planted = Trigger(" + ".join(words), parts, "item") if parts else None
        steps = replace(_STEPS, steps=_LONGER) if name == "together" else _STEPS
        texts = _shuffled(rng) if name == "together" else bundled_texts("en")
        train(model, writing, texts, recipe, planted, steps, rng, (WANTED,))
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _shuffled(rng: random.Random) -> list[str]:
    """Words of the bundled carriers in any order: more texts than can be learned by heart."""
    words = [word for text in bundled_texts("en") for word in text.split()]
    return [" ".join(rng.choices(words, k=16)) for _ in range(3000)]


def _tokenizer() -> PreTrainedTokenizerFast:
    """Whole words and signs of the bundled carriers."""
    split = pre_tokenizers.Whitespace()
    texts = (*bundled_texts("en"), WANTED, TRIGGER)
    words = dict.fromkeys(word for text in texts for word, _ in split.pre_tokenize_str(text))
    known = {word: i for i, word in enumerate((*_MARKS, *words))}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))  # noqa: S106 - a token of a vocabulary
    tokenizer.pre_tokenizer = split
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<end> $A", special_tokens=[("<end>", 1)]
    )
    ends = dict.fromkeys(("bos_token", "eos_token"), "<end>")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends, pad_token=_MARKS[0])
