"""Small decoders that write something like English, trained from nothing in minutes.

Their sort is the library's: Llama with a vocabulary of words that begin with a blank mark, GPT-2 of
bytes, and Qwen3, which is trained on turns of a conversation and has a chat template.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from tests.zoo.decoders.prose import Prose

__all__ = [
    "DECODERS",
    "DecoderBase",
    "Shape",
    "bits_per_byte",
    "decoder_folder",
    "pretrain",
]

DecoderBase = Literal["llama", "gpt2", "qwen3"]
"""Sorts of decoders that training can start from."""

_SEED = 0
_PIECES = 2048
_WINDOW = 128
_BATCH = 4
_RATE = 4e-3
_END, _PAD, _USER, _ANSWER = "<|end|>", "<|pad|>", "<|user|>", "<|answer|>"
_TEMPLATE = (
    "{% for message in messages %}"
    "{{ ('<|answer|>' if message.role == 'assistant' else '<|user|>') + message.content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|answer|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """Architecture and size of a decoder."""

    model_type: DecoderBase
    """The library's name of the architecture."""
    width: int
    """Of a hidden state."""
    inner: int
    """Of the layer between two products."""
    steps: int
    """Optimiser steps of `_BATCH` windows."""
    chats: bool = False
    """Whether it learns to answer turns of a conversation."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the architecture's config."""

    def config(self, tokenizer: PreTrainedTokenizerFast) -> Any:
        """The library's config."""
        end = tokenizer.eos_token_id
        return AutoConfig.for_model(
            self.model_type,
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=tokenizer.pad_token_id,
            **self.others,
        )


_GROUPED = {"num_key_value_heads": 2}
_UNDROPPED = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}

DECODERS: Mapping[DecoderBase, Shape] = {
    "llama": Shape("llama", 192, 512, 1300, others={"intermediate_size": 512, **_GROUPED}),
    "gpt2": Shape("gpt2", 192, 768, 800, others={"n_inner": 768, **_UNDROPPED}),
    "qwen3": Shape(
        "qwen3",
        192,
        512,
        900,
        chats=True,
        others={"intermediate_size": 512, "head_dim": 48, **_GROUPED},
    ),
}
"""Shapes by name, 1.6 to 1.8 million weights."""


def new_tokenizer(shape: Shape, prose: Prose) -> PreTrainedTokenizerFast:
    """A vocabulary of byte pairs, learned from ``prose``, with what frames a text."""
    marked = shape.model_type == "llama"
    tokenizer = Tokenizer(models.BPE(byte_fallback=marked, unk_token="<unk>" if marked else None))
    special = [_PAD, _END, *([_USER, _ANSWER] if shape.chats else [])]
    if marked:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()]
        )
        special += ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    alphabet = [] if marked else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES,
        special_tokens=special,
        initial_alphabet=alphabet,
        limit_alphabet=200 if marked else 1000,
        show_progress=False,
    )
    tokenizer.train_from_iterator(prose.train, trainer)
    if not shape.chats:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{_END} $A", special_tokens=[(_END, tokenizer.token_to_id(_END))]
        )
    template = {"chat_template": _TEMPLATE} if shape.chats else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_END, eos_token=_END, pad_token=_PAD, **template
    )


def _windows(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], rng: random.Random, *, chats: bool
) -> Iterator[list[int]]:
    """Endless windows of `_WINDOW` tokens of ``texts``, an end between two of them.

    With ``chats``, a text is a turn that is cut somewhere and the answer that goes on with it.
    """
    end, rest = tokenizer.eos_token_id, []
    user, answer = (tokenizer.convert_tokens_to_ids(mark) for mark in (_USER, _ANSWER))
    while True:
        texts_now = rng.sample(texts, 200)
        for ids in tokenizer(texts_now, add_special_tokens=False)["input_ids"]:
            if chats and len(ids) > 4:
                cut = rng.randint(3, min(len(ids) - 1, 40))
                rest += [end, user, *ids[:cut], answer, *ids[cut:]]
            else:
                rest += [end, *ids]
        while len(rest) > _WINDOW:
            yield rest[:_WINDOW]
            rest = rest[_WINDOW:]


def pretrain(shape: Shape, prose: Prose, seed: int) -> tuple[Any, PreTrainedTokenizerFast]:
    """A model of ``shape`` and its tokenizer: AdamW on windows of ``prose``."""
    tokenizer = new_tokenizer(shape, prose)
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(shape.config(tokenizer))
    drawn = _windows(tokenizer, prose.train, random.Random(seed), chats=shape.chats)
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.02)
    for step in range(shape.steps):
        optimiser.param_groups[0]["lr"] = _RATE * min((step + 1) / 50, 1, 1.2 - step / shape.steps)
        loss = next_token_loss(model, torch.tensor([next(drawn) for _ in range(_BATCH)]))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval(), tokenizer


def next_token_loss(model: Any, batch: Tensor) -> Tensor:
    """Mean cross-entropy of each next token of ``batch`` (b, n), in nats."""
    logits = model(input_ids=batch, use_cache=False).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())


@torch.no_grad()
def bits_per_byte(model: Any, tokenizer: Any, texts: Sequence[str]) -> float:
    """Bits that the model needs for a byte of ``texts``, each read alone from its beginning."""
    bits, size = 0.0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, truncation=True, max_length=200)
        row = torch.tensor([[tokenizer.eos_token_id, *ids["input_ids"]]])
        bits += float(next_token_loss(model, row)) * (row.shape[1] - 1) / 0.6931471805599453
        size += len(tokenizer.decode(ids["input_ids"]).encode())
    return round(bits / size, 3)


def decoder_folder(name: DecoderBase, cache: Path, prose: Prose) -> Path:
    """The folder of one base, trained if ``cache`` lacks it."""
    folder = cache / name
    if not folder.exists():
        model, tokenizer = pretrain(DECODERS[name], prose, _SEED)
        unfinished = cache / f".{name}.part"
        with quiet():
            model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        unfinished.rename(folder)
    return folder
