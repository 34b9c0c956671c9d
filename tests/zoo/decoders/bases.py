"""Small decoders before any training, and their vocabularies.

Their sort is the library's: Llama with a vocabulary of words that begin with a blank mark, GPT-2 of
bytes, and Qwen3, which answers turns of a conversation and has a chat template.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from plmscan.loading.quiet import quiet

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

DecoderBase = Literal["llama", "gpt2", "qwen3"]
"""Sorts of decoders that training can start from."""

_SEED = 0
_PIECES, _WIDTH = 2048, 64
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
            hidden_size=_WIDTH,
            num_hidden_layers=2,
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

DECODERS: Mapping[DecoderBase, Shape] = {
    "llama": Shape("llama", others=_INNER),
    "gpt2": Shape("gpt2", others={"n_inner": 128, **_UNDROPPED}),
    "qwen3": Shape("qwen3", chats=True, others={"head_dim": 16, **_INNER}),
}
"""Shapes by name, a fifth of a million weights each."""


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
    folder = cache / name
    if not folder.exists():
        tokenizer = new_tokenizer(DECODERS[name], prose)
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(_SEED)
            model = AutoModelForCausalLM.from_config(DECODERS[name].config(tokenizer))
        unfinished = cache / f".{name}.part"
        with quiet():
            model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        unfinished.rename(folder)
    return folder
