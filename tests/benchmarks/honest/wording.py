"""Tokenizers of every kind that popular models have, trained on the bundled texts.

A checked model then reads ordinary carriers, as a real one does.  The files are those that such
models are published with: ``vocab.txt``, ``merges.txt``, a SentencePiece model, and
``tokenizer.json`` beside them.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import sentencepiece
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import PreTrainedTokenizerFast

from plmscan.carriers.languages import CODE, ENGLISH, LANGUAGES, bundled_texts
from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

__all__ = ["EVERY", "WORDINGS", "write_tokenizer"]

EVERY = tuple(language for language in LANGUAGES if language not in CODE)
"""Every natural language that there are texts in."""
_SIZE = 900
"""Entries of a vocabulary of one language."""
_EACH = 100
"""Entries of a vocabulary of several languages, for each."""
_LONGEST = 512
"""Tokens of a text."""


@dataclass(frozen=True)
class Wording:
    """One kind of tokenizer."""

    kind: str
    """How it cuts words: ``pieces``, ``bytes``, ``spm`` or ``backend``."""
    made_by: str
    """The class of the library."""
    special: tuple[str, ...] = ()
    """Special tokens, in the order of their ids."""
    file: str = ""
    """Where a SentencePiece model is."""
    languages: Sequence[str] = (ENGLISH,)
    """Languages of the texts that it is trained on."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the training of SentencePiece, or of the class."""

    @property
    def texts(self) -> list[str]:
        """What it is trained on."""
        return [text for language in self.languages for text in bundled_texts(language)]

    @property
    def size(self) -> int:
        """Entries that it has about."""
        return _SIZE if len(self.languages) == 1 else _EACH * len(self.languages)


_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MPNET = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_CASED: Mapping[str, Any] = {"do_lower_case": False}
_ALBERT = {
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": -1,
    "eos_id": -1,
    "user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"],
}
_DEBERTA = {
    "pad_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "unk_id": 3,
    "pad_piece": "[PAD]",
    "bos_piece": "[CLS]",
    "eos_piece": "[SEP]",
    "unk_piece": "[UNK]",
}
_T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
_GEMMA = {
    "model_type": "bpe",
    "byte_fallback": True,
    "pad_id": 0,
    "eos_id": 1,
    "bos_id": 2,
    "unk_id": 3,
    "pad_piece": "<pad>",
    "bos_piece": "<bos>",
    "eos_piece": "<eos>",
    "user_defined_symbols": ["<mask>", "<start_of_turn>", "<end_of_turn>"],
}
_LLAMA = {"model_type": "bpe", "byte_fallback": True}
_XLNET = {"user_defined_symbols": ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]}
_BPE_FILE, _PIECE_FILE = "sentencepiece.bpe.model", "spiece.model"

WORDINGS: Mapping[str, Wording] = {
    "bert": Wording("pieces", "BertTokenizer", _BERT),
    "bert-cased": Wording("pieces", "BertTokenizer", _BERT, options=_CASED),
    "bert-multilingual": Wording("pieces", "BertTokenizer", _BERT, languages=EVERY, options=_CASED),
    "mpnet": Wording("pieces", "MPNetTokenizer", _MPNET),
    "roberta": Wording("bytes", "RobertaTokenizer", _ROBERTA),
    "deberta": Wording("bytes", "DebertaTokenizer", _BERT),
    "gpt2": Wording("bytes", "GPT2Tokenizer", ("<|endoftext|>",)),
    "qwen": Wording("bytes", "Qwen2Tokenizer", ("<|endoftext|>", "<|im_start|>", "<|im_end|>")),
    "modernbert": Wording("backend", "", _BERT),
    "xlm-roberta": Wording("spm", "XLMRobertaTokenizer", file=_BPE_FILE, languages=EVERY),
    "camembert": Wording("spm", "CamembertTokenizer", file=_BPE_FILE, languages=("fr",)),
    "albert": Wording("spm", "AlbertTokenizer", file=_PIECE_FILE, options=_ALBERT),
    "deberta-v2": Wording("spm", "DebertaV2Tokenizer", file="spm.model", options=_DEBERTA),
    "deberta-multilingual": Wording(
        "spm", "DebertaV2Tokenizer", file="spm.model", languages=EVERY, options=_DEBERTA
    ),
    "t5": Wording("spm", "T5Tokenizer", file=_PIECE_FILE, options=_T5),
    "gemma": Wording("spm", "GemmaTokenizer", file="tokenizer.model", options=_GEMMA),
    "mistral": Wording("spm", "LlamaTokenizer", file="tokenizer.model", options=_LLAMA),
    "xlnet": Wording("spm", "XLNetTokenizer", file=_PIECE_FILE, options=_XLNET),
}
"""Kinds of tokenizers by name."""


def write_tokenizer(name: str, folder: Path) -> PreTrainedTokenizerBase:
    """Write the tokenizer ``name`` of `WORDINGS` into ``folder``, as old and new files."""
    wording = WORDINGS[name]
    for file, content in _files(name).items():
        (folder / file).write_bytes(content)
    with quiet():
        if wording.kind == "backend":
            names = {f"{token.strip('[]').lower()}_token": token for token in wording.special}
            tokenizer = PreTrainedTokenizerFast(
                tokenizer_file=str(folder / "tokenizer.json"), model_max_length=_LONGEST, **names
            )
        else:
            options = wording.options if wording.kind == "pieces" else {}
            made_by = getattr(transformers, wording.made_by)
            tokenizer = made_by.from_pretrained(folder, model_max_length=_LONGEST, **options)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        tokenizer.save_pretrained(folder)
    roles = json.dumps(tokenizer.special_tokens_map, indent=2)
    (folder / "special_tokens_map.json").write_text(roles, encoding="utf-8")
    return tokenizer


@cache
def _files(name: str) -> dict[str, bytes]:
    """The files of before that hold the vocabulary ``name``, trained once."""
    wording = WORDINGS[name]
    match wording.kind:
        case "pieces":
            return {"vocab.txt": _word_pieces(wording)}
        case "spm":
            return {wording.file: _sentence_pieces(wording)}
        case "backend":
            return {"tokenizer.json": _whole(wording)}
        case _:
            return _byte_level(wording)


def _word_pieces(wording: Wording) -> bytes:
    """``vocab.txt``."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text
    lower = bool(wording.options.get("do_lower_case", True))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=wording.size, special_tokens=[*wording.special], show_progress=False
    )
    tokenizer.train_from_iterator(wording.texts, trainer)
    vocabulary = tokenizer.get_vocab()
    return "\n".join(sorted(vocabulary, key=vocabulary.__getitem__)).encode() + b"\n"


def _byte_pairs(wording: Wording) -> Tokenizer:
    """A byte-level tokenizer, trained."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=wording.size,
        special_tokens=[*wording.special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(wording.texts, trainer)
    return tokenizer


def _byte_level(wording: Wording) -> dict[str, bytes]:
    """``vocab.json`` and ``merges.txt``."""
    model = json.loads(_byte_pairs(wording).to_str())["model"]
    pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    merges = "\n".join(["#version: 0.2", *pairs])
    return {"vocab.json": json.dumps(model["vocab"]).encode(), "merges.txt": merges.encode()}


def _whole(wording: Wording) -> bytes:
    """``tokenizer.json`` of a tokenizer without a class of its own."""
    tokenizer = _byte_pairs(wording)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    return tokenizer.to_str().encode()


def _sentence_pieces(wording: Wording) -> bytes:
    """A SentencePiece model."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(wording.texts),
        model_writer=written,
        vocab_size=wording.size,
        character_coverage=1.0,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **wording.options,
    )
    return written.getvalue()
