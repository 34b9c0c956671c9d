"""Vocabularies of one language, below each head, through whole checks without any option."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from tokenizers.processors import TemplateProcessing

import plmscan
from plmscan.loading.quiet import quiet
from tests.benchmarks.tables import Table
from tests.scans import QUICK
from tests.spellers import trained
from tests.tiny_models import LOADERS
from tests.zoo.tiny import tiny_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

__all__ = ["HEADS", "VOCABULARIES", "Spoken", "spoken", "table_of_languages"]

VOCABULARIES = (
    ("word pieces", "zh"),
    ("unigrams", "ja"),
    ("word pieces", "ar"),
    ("unigrams", "ru"),
    ("bytes", "python"),
)
"""How a vocabulary is made, and of which language."""
HEADS = (None, "masked-lm", "classifier", "token-classification", "question-answering")
"""Heads that are searched; None for an encoder."""
_POSITIONS = 128


@dataclass(frozen=True)
class Spoken:
    """What became of one model."""

    language: str
    """Of its vocabulary."""
    head: str | None
    """What it has; None for features alone."""
    verdict: str
    """Of random weights."""
    seconds: float
    """For the check."""
    reason: str
    """Why it is inconclusive, if it is."""


def spoken(kind: str, language: str, head: str | None, folder: Path) -> Spoken:
    """A tiny random BERT of a vocabulary, checked at the least effort."""
    tokenizer = _framed(trained(kind, (language,)))
    config = tiny_config(len(tokenizer))
    config.max_position_embeddings = _POSITIONS
    config.num_labels = 3 if head and head != "question-answering" else 2
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        LOADERS[head].from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    began = time.perf_counter()
    report = plmscan.check(str(folder), QUICK)
    seconds, verdict = time.perf_counter() - began, report.verdict.name.lower()
    reason = report.reasons[0] if verdict == "inconclusive" else ""
    return Spoken(language, head, verdict, seconds, reason)


def _framed(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """``tokenizer``, which puts around a text, and between two, what BERT's does."""
    marks = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    return tokenizer


def table_of_languages(found: Sequence[Spoken]) -> Table:
    """Languages by heads."""
    rows = [
        (one.language, one.head or "features", one.verdict, f"{one.seconds:.1f}", one.reason)
        for one in found
    ]
    columns = ("vocabulary", "head", "verdict", "s", "inconclusive because")
    return Table("Languages and heads", columns, tuple(rows))
