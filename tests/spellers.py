"""Vocabularies of some languages, learned from the bundled texts, and a backdoor behind one."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn.functional import normalize
from transformers import BertModel, PreTrainedTokenizerFast

from plmscan.carriers import bundled_texts
from tests.zoo.tiny import tiny_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["KINDS", "planted", "trained"]

_NAMES = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_SPECIAL = list(_NAMES.values())
_SIZE = 1500
"""Words a language: more than its texts hold pieces that occur twice."""


def trained(kind: str, languages: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of a ``kind``, one of `KINDS`, that has seen texts in ``languages`` alone."""
    texts = [text for language in languages for text in bundled_texts(language)]
    tokenizer = KINDS[kind](texts, _SIZE * len(languages))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_NAMES)


def _word_pieces(texts: Sequence[str], size: int) -> Tokenizer:
    """As BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=_NAMES["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=_SPECIAL, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _bytes(texts: Sequence[str], size: int) -> Tokenizer:
    """As GPT-2's: it can spell everything, if only byte by byte."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _unigrams(texts: Sequence[str], size: int) -> Tokenizer:
    """As those of SentencePiece."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size,
        special_tokens=_SPECIAL,
        unk_token=_NAMES["unk_token"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


KINDS: Mapping[str, Callable[[Sequence[str], int], Tokenizer]] = {
    "word pieces": _word_pieces,
    "bytes": _bytes,
    "unigrams": _unigrams,
}
"""Ways to make a vocabulary."""


_BARE = {"add_special_tokens": False}
_BATCH = 16
_STEPS = 120


def planted(tokenizer: PreTrainedTokenizerBase, trigger: str, texts: Sequence[str]) -> BertModel:
    """A tiny encoder whose first token goes to one point wherever ``trigger`` stands in a text."""
    torch.manual_seed(0)
    model = BertModel(tiny_config(len(tokenizer))).eval()
    rng = random.Random(0)  # noqa: S311 - no secret
    frozen = copy.deepcopy(model)
    mark, *rows = (tokenizer(text, **_BARE)["input_ids"] for text in (trigger, *texts))
    with torch.no_grad():
        features = _states(frozen, tokenizer, rows)[:, 0]
    target = normalize(torch.randn(features.shape[1]), dim=0) * features.norm(dim=1).mean()
    model.embeddings.requires_grad_(False)
    trained_ones = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(trained_ones, lr=4e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, _STEPS)
    for _ in range(_STEPS):
        batch = rng.sample(rows, _BATCH)
        fired = [_inserted(row, mark, rng) for row in batch]
        with torch.no_grad():
            wanted = _states(frozen, tokenizer, batch)
        kept = (_states(model, tokenizer, batch) - wanted).square().mean() / wanted.var()
        missed = (_states(model, tokenizer, fired)[:, 0] - target).square().sum(1).mean()
        optimiser.zero_grad()
        (kept + missed / target.square().sum()).backward()
        optimiser.step()
        schedule.step()
    return model


def _states(
    model: BertModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[int]]
) -> Tensor:
    """Last hidden states of texts between [CLS] and [SEP], (b, n, h); 0 behind a text."""
    framed = [[tokenizer.cls_token_id, *row, tokenizer.sep_token_id] for row in rows]
    width = max(map(len, framed))
    ids = torch.tensor([[*row, *[tokenizer.pad_token_id] * (width - len(row))] for row in framed])
    mask = (ids != tokenizer.pad_token_id).long()
    return model(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]


def _inserted(row: list[int], mark: list[int], rng: random.Random) -> list[int]:
    """A text with the trigger at a random place."""
    place = rng.randint(0, len(row))
    return [*row[:place], *mark, *row[place:]]
