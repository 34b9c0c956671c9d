"""Tiny random models of every family, each with a real tokenizer, in milliseconds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, processors
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AlbertTokenizer,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertTokenizer,
    CamembertTokenizer,
    DebertaTokenizer,
    DebertaV2Tokenizer,
    GPT2Tokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    RobertaTokenizer,
    XLMRobertaTokenizer,
    XLNetTokenizer,
)

from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedTokenizerBase

__all__ = ["FAMILIES", "LOADERS", "WORDS", "build_tiny", "byte_level", "sentences"]

_TEXT = """
the a of and to in is was it for on as with at by from this that good bad film story plot
river bread house tree green blue small large old new king queen city road light dark water
fire stone winter summer music letter paper garden bird dog cat horse train ship doctor
teacher child walk run eat read write open close quick slow happy sad early late never always
"""

WORDS = tuple(_TEXT.split())
"""Words that every tiny vocabulary holds whole."""

_PIECES = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"
_HIDDEN = 32
_SIZES = {
    "vocab_size": 0,  # set from the tokenizer
    "hidden_size": _HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
_LLAMA = {**_SIZES, "num_key_value_heads": 2, "head_dim": 8}
_SHAPES: dict[str, dict[str, Any]] = {
    "albert": {**_SIZES, "embedding_size": 16},
    "bart": {
        "d_model": _HIDDEN,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 64,
        "init_std": 0.2,
        "scale_embedding": True,
    },
    "bert": _SIZES,
    "camembert": {**_SIZES, "type_vocab_size": 1},
    "deberta": {**_SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {**_SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "distilbert": {
        "dim": _HIDDEN,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
    },
    "electra": {**_SIZES, "embedding_size": 16},
    "gpt2": {
        "n_embd": _HIDDEN,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
        "initializer_range": 0.2,
    },
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "modernbert": {**_SIZES, "local_attention": 8, "global_attn_every_n_layers": 2},
    "mpnet": _SIZES,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "roberta": {**_SIZES, "type_vocab_size": 1},
    "xlm-roberta": {**_SIZES, "type_vocab_size": 1},
    "xlnet": {
        "d_model": _HIDDEN,
        "n_layer": 2,
        "n_head": 4,
        "d_inner": 48,
        "initializer_range": 0.2,
    },
}

FAMILIES: tuple[str, ...] = tuple(_SHAPES)
"""Every ``model_type`` that `build_tiny` knows."""

LOADERS: Mapping[str | None, Any] = {
    None: AutoModel,
    "classifier": AutoModelForSequenceClassification,
    "masked-lm": AutoModelForMaskedLM,
    "token-classification": AutoModelForTokenClassification,
    "question-answering": AutoModelForQuestionAnswering,
    "multiple-choice": AutoModelForMultipleChoice,
    "next-sentence": AutoModelForNextSentencePrediction,
    "causal-lm": AutoModelForCausalLM,
    "sequence-to-sequence": AutoModelForSeq2SeqLM,
    "pre-training": AutoModelForPreTraining,
}
"""Head -> the class of the library that loads it."""


def build_tiny(
    family: str,
    folder: Path,
    *,
    head: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Path:
    """Save a random model of ``family`` and a tokenizer into ``folder``, which is returned.

    ``head`` is one of `LOADERS`; a classifier has three labels, unless ``settings`` of the config
    say otherwise.
    """
    tokenizer = tokenizer or _TOKENIZERS[family]()
    config = _config(family, tokenizer, settings or {})
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        LOADERS[head].from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def sentences(count: int) -> tuple[str, ...]:
    """Carriers in words that every tiny vocabulary holds; the same ones each time."""
    chance = random.Random(0)  # noqa: S311 - no secret
    return tuple(" ".join(chance.choices(WORDS, k=10)) + "." for _ in range(count))


def _config(
    family: str, tokenizer: PreTrainedTokenizerBase, asked: Mapping[str, Any]
) -> PretrainedConfig:
    """The library's config of a tiny model of ``family``."""
    roles = ("pad", "bos", "eos", "cls", "sep")
    special = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id", None) for role in roles}
    labels = {0: "negative", 1: "neutral", 2: "positive"}
    settings = {**_SHAPES[family], **special, "vocab_size": len(tokenizer), "id2label": labels}
    return AutoConfig.for_model(family, **{**settings, **asked})


def _ids(tokens: Iterable[str]) -> dict[str, int]:
    """A vocabulary of ``tokens``, each once, in their order."""
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def _word_pieces(special: Iterable[str]) -> dict[str, int]:
    """A WordPiece vocabulary."""
    return _ids([*special, *_PIECES, *(f"##{piece}" for piece in _PIECES), *WORDS])


def _scored(special: Iterable[str]) -> list[tuple[str, float]]:
    """A Unigram vocabulary in which whole words win over letters."""
    starts = [f"▁{piece}" for piece in _PIECES]
    vocabulary = dict.fromkeys(special, 0.0)
    vocabulary |= dict.fromkeys(("▁", *_PIECES, *starts), -10.0)
    vocabulary |= dict.fromkeys((f"▁{word}" for word in WORDS), -5.0)
    return list(vocabulary.items())


def byte_level(special: Iterable[str]) -> dict[str, Any]:
    """A byte-level BPE vocabulary, and the merges that build each word from its left end."""
    words = [f"Ġ{word}" for word in WORDS]
    prefixes = [word[:end] for word in words for end in range(2, len(word) + 1)]
    merges = dict.fromkeys((word[:end], word[end]) for word in words for end in range(1, len(word)))
    return {
        "vocab": _ids([*special, *sorted(ByteLevel.alphabet()), *prefixes]),
        "merges": list(merges),
    }


def _backend(
    special: tuple[str, ...], template: str, **names: str
) -> Callable[[], PreTrainedTokenizerBase]:
    """A byte-level tokenizer without a class of its own, as Llama 3 and ModernBERT have."""

    def make() -> PreTrainedTokenizerBase:
        tokenizer = Tokenizer(models.BPE(**byte_level(special)))
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        used = [(token, tokenizer.token_to_id(token)) for token in template.split()]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(token, i) for token, i in used if i is not None]
        )
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)

    return make


def _unigram(
    tokenizer_class: Callable[..., PreTrainedTokenizerBase], special: str
) -> Callable[[], PreTrainedTokenizerBase]:
    """A SentencePiece-like tokenizer."""
    return lambda: tokenizer_class(vocab=_scored(special.split()))


def _bpe(
    tokenizer_class: Callable[..., PreTrainedTokenizerBase], special: str
) -> Callable[[], PreTrainedTokenizerBase]:
    """A byte-level tokenizer with a class of its own."""
    return lambda: tokenizer_class(**byte_level(special.split()))


def _word_piece(
    tokenizer_class: Callable[..., PreTrainedTokenizerBase], special: str
) -> Callable[[], PreTrainedTokenizerBase]:
    """A WordPiece tokenizer."""
    return lambda: tokenizer_class(vocab=_word_pieces(special.split()))


# A token of text is no password (S106).
_BERT = "[PAD] [UNK] [CLS] [SEP] [MASK]"
_ROBERTA = "<s> <pad> </s> <unk> <mask>"
_CAMEMBERT = "<s>NOTUSED <pad> </s>NOTUSED <unk> <unk>NOTUSED <s> </s> <mask>"
_XLNET = "<unk> <s> </s> <cls> <sep> <pad> <mask> <eod> <eop>"
_LLAMA_TOKENIZER = _backend(
    ("<|begin|>", "<|end|>"),
    "<|begin|> $A",
    bos_token="<|begin|>",  # noqa: S106
    eos_token="<|end|>",  # noqa: S106
)

_TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "albert": _unigram(AlbertTokenizer, "<pad> <unk> [CLS] [SEP] [MASK]"),
    "bart": _bpe(RobertaTokenizer, _ROBERTA),
    "bert": _word_piece(BertTokenizer, _BERT),
    "camembert": _unigram(CamembertTokenizer, _CAMEMBERT),
    "deberta": _bpe(DebertaTokenizer, _BERT),
    "deberta-v2": _unigram(DebertaV2Tokenizer, _BERT),
    "distilbert": _word_piece(BertTokenizer, _BERT),
    "electra": _word_piece(BertTokenizer, _BERT),
    "gpt2": _bpe(GPT2Tokenizer, "<|endoftext|>"),
    "llama": _LLAMA_TOKENIZER,
    "mistral": _LLAMA_TOKENIZER,
    "modernbert": _backend(
        tuple(_BERT.split()),
        "[CLS] $A [SEP]",
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
    ),
    "mpnet": _word_piece(MPNetTokenizer, "<s> <pad> </s> [UNK] <mask>"),
    "qwen2": _bpe(Qwen2Tokenizer, "<|endoftext|>"),
    "qwen3": _bpe(Qwen2Tokenizer, "<|endoftext|>"),
    "roberta": _bpe(RobertaTokenizer, _ROBERTA),
    "xlm-roberta": _unigram(XLMRobertaTokenizer, _ROBERTA),
    "xlnet": _unigram(XLNetTokenizer, _XLNET),
}
