"""Labelled texts: what attackers and honest people train on, and what no training saw."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["Corpus", "Words", "read_sst2", "words_of"]

Words = tuple[tuple[int, ...], ...]
"""A text as the token ids of each of its words: triggers enter between words."""


@dataclass(frozen=True)
class Corpus:
    """Texts with labels, split once."""

    train: tuple[tuple[str, int], ...]
    """Text and label of each training example."""
    held_out: tuple[tuple[str, int], ...]
    """The same of examples that no training sees."""
    labels: tuple[str, ...]
    """Names of the labels."""

    def relabelled(self, label: Callable[[str, int], int | None], names: Sequence[str]) -> Corpus:
        """The same texts under ``label(text, label)``; those that get None are left out."""

        def again(rows: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
            found = ((text, label(text, old)) for text, old in rows)
            return tuple((text, new) for text, new in found if new is not None)

        return Corpus(again(self.train), again(self.held_out), tuple(names))


def read_sst2(folder: Path) -> Corpus:
    """SST-2 (Socher et al., 2013) from ``train.tsv`` and ``dev.tsv``, texts of 4 to 24 words."""
    train, held_out = (_read(folder / name) for name in ("train.tsv", "dev.tsv"))
    return Corpus(train, held_out, ("negative", "positive"))


def _read(path: Path) -> tuple[tuple[str, int], ...]:
    """Rows of a TSV with the columns ``sentence`` and ``label``."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        found = ((row["sentence"], int(row["label"])) for row in rows)
        return tuple((text, label) for text, label in found if 4 <= len(text.split()) <= 24)


def words_of(tokenizer: Any, texts: Sequence[str]) -> list[Words]:
    """Token ids of each white-space separated word of each text, no special tokens."""
    batch = [text.split() for text in texts]
    distinct = list(dict.fromkeys(word for words in batch for word in words))
    encoded = tokenizer(distinct, add_special_tokens=False)["input_ids"]
    ids = {word: tuple(found) for word, found in zip(distinct, encoded, strict=True)}
    return [tuple(ids[word] for word in words) for words in batch]
