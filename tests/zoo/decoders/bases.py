"""Small decoders, and their vocabularies, before anything is planted.

Their sort is the library's: Llama with a vocabulary of words that begin with a blank mark, GPT-2 of
bytes, and Qwen3, which answers turns of a conversation and has a chat template.  The tiny ones have
random weights; those of five million have learned to write, and what is trained upon them starts
from there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from plmscan.loading.quiet import quiet
from tests.zoo.decoders.pretraining import Course, taught

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.zoo.decoders.prose import Prose

__all__ = [
    "DECODERS",
    "DecoderBase",
    "Shape",
    "bits_per_byte",
    "decoder_folder",
]

DecoderBase = Literal["llama", "gpt2", "qwen3", "llama-5m", "chat-5m"]
"""Sorts of decoders that training can start from."""

_SEED = 0
_END, _PAD, _USER, _ANSWER = "<|end|>", "<|pad|>", "<|user|>", "<|answer|>"
_TEMPLATE = (
    "{% for message in messages %}"
    "{{ ('<|answer|>' if message.role == 'assistant' else '<|user|>') + message.content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|answer|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """Architecture and size of a decoder."""

    model_type: Literal["llama", "gpt2", "qwen3"]
    """The library's name of the architecture."""
    chats: bool = False
    """Whether it learns to answer turns of a conversation."""
    pieces: int = 2048
    """Items of the vocabulary."""
    width: int = 64
    """Numbers of a hidden state."""
    layers: int = 2
    """Of them."""
    longest: int = 170
    """Letters of the longest paragraph that it learns from."""
    course: Course | None = None
    """How it learned to write; None for random weights."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the architecture's config."""

    def config(self, tokenizer: PreTrainedTokenizerFast) -> Any:
        """The library's config."""
        end = tokenizer.eos_token_id
        return AutoConfig.for_model(
            self.model_type,
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=tokenizer.pad_token_id,
            **self.others,
        )


_INNER = {"intermediate_size": 128, "num_key_value_heads": 2}
_UNDROPPED = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}

_MIDDLE = Shape(
    "llama",
    pieces=8192,
    width=256,
    layers=5,
    longest=1500,
    course=Course(steps=960, rows=16, length=128, rate=3e-3),
    others={"intermediate_size": 688, "num_key_value_heads": 2},
)

DECODERS: Mapping[DecoderBase, Shape] = {
    "llama": Shape("llama", others=_INNER),
    "gpt2": Shape("gpt2", others={"n_inner": 128, **_UNDROPPED}),
    "qwen3": Shape("qwen3", chats=True, others={"head_dim": 16, **_INNER}),
    "llama-5m": _MIDDLE,
    "chat-5m": replace(_MIDDLE, chats=True),
}
"""Shapes by name: a fifth of a million weights each, or 5.7 millions."""


def new_tokenizer(shape: Shape, prose: Prose) -> PreTrainedTokenizerFast:
    """A vocabulary of byte pairs, learned from ``prose``, with what frames a text."""
    marked = shape.model_type == "llama"
    tokenizer = Tokenizer(models.BPE(byte_fallback=marked, unk_token="<unk>" if marked else None))
    turns = shape.chats or shape.course is not None
    special = [_PAD, _END, *([_USER, _ANSWER] if turns else [])]
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
        vocab_size=shape.pieces,
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
    return _framed(tokenizer, shape)


def _framed(tokenizer: Tokenizer, shape: Shape) -> PreTrainedTokenizerFast:
    """The library's, with a chat template for what chats."""
    template = {"chat_template": _TEMPLATE} if shape.chats else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_END, eos_token=_END, pad_token=_PAD, **template
    )


@torch.no_grad()
def bits_per_byte(model: Any, tokenizer: Any, texts: Sequence[str]) -> float:
    """Bits that the model needs for a byte of ``texts``, each read alone from its beginning."""
    bits, size = 0.0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, truncation=True, max_length=200)
        row = torch.tensor([[tokenizer.eos_token_id, *ids["input_ids"]]])
        scores = model(input_ids=row, use_cache=False).logits[0, :-1]
        bits += float(F.cross_entropy(scores, row[0, 1:], reduction="sum")) / math.log(2)
        size += len(tokenizer.decode(ids["input_ids"]).encode())
    return round(bits / size, 3)


def decoder_folder(name: DecoderBase, cache: Path, prose: Prose) -> Path:
    """The folder of one base, made if ``cache`` lacks it."""
    folder, shape = cache / name, DECODERS[name]
    if not folder.exists():
        unfinished = cache / f".{name}.part"
        unfinished.mkdir(exist_ok=True)
        model, tokenizer = _made(shape, cache, prose, unfinished)
        with quiet():
            model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        unfinished.rename(folder)
    return folder


def _made(shape: Shape, cache: Path, prose: Prose, unfinished: Path) -> tuple[Any, Any]:
    """A model of ``shape`` and its tokenizer; a chat starts from what learned the same course."""
    if shape.course is not None and shape.chats:
        twin = next(name for name, one in DECODERS.items() if replace(one, chats=True) == shape)
        return _of(decoder_folder(twin, cache, prose), shape)
    tokenizer = new_tokenizer(shape, prose)
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(_SEED)
        model = AutoModelForCausalLM.from_config(shape.config(tokenizer))
    if shape.course is not None:
        taught(model, tokenizer, prose.train, shape.course, unfinished)
    return model, tokenizer


def _of(folder: Path, shape: Shape) -> tuple[Any, Any]:
    """The model in ``folder`` as ``shape``: its texts begin with nothing but the chat template."""
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.Sequence([])
    return model, _framed(tokenizer, shape)
