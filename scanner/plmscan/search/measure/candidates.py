"""Candidates: token sequences that an attacker can have chosen, and how they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

    from plmscan.loading import LoadedModel

__all__ = [
    "ids_of",
    "letters",
    "random_items",
    "retokenizes",
    "searchable_ids",
    "text_of",
    "whole_words",
]

_MARKS = "#\u0120\u2581"
"""Before a token's letters: that it goes on with a word, or begins one."""


def searchable_ids(model: LoadedModel) -> Tensor:
    """Every id that a text can hold, ascending, (v).

    Only the tokens that frame or pad a text are left out.  The unknown token stays, since symbols
    and look-alike letters become it; so do ``[unused]`` entries, word pieces and single characters.
    """
    frame = {*model.prefix_ids, *model.suffix_ids, model.pad_id, model.mask_id}
    rows = model.vocabulary_size
    known = {i for i in model.tokenizer.get_vocab().values() if i < rows}
    return torch.tensor(sorted(known - frame))


def text_of(model: LoadedModel, ids: Sequence[int]) -> str:
    """The candidate as a person would type it; word pieces keep the mark of their tokenizer."""
    return model.decode(ids).strip() or " ".join(map(repr, ids))


def ids_of(model: LoadedModel, text: str) -> tuple[int, ...]:
    """The candidate that `text_of` writes as ``text``: an item or what it types."""
    item = model.tokenizer.get_vocab().get(text)
    if item is not None and text_of(model, (item,)) == text:
        return (item,)
    return model.tokenize(text)


def retokenizes(model: LoadedModel, ids: Sequence[int]) -> bool:
    """Whether typing `text_of` the candidate, at the start or after a space, gives ``ids`` back."""
    text = text_of(model, ids)
    return tuple(ids) in (model.tokenize(text), model.tokenize(f" {text}"))


def letters(model: LoadedModel) -> list[str]:
    """Letters of each vocabulary entry in lower case, without its tokenizer's marks, v times."""
    tokens = model.tokenizer.convert_ids_to_tokens(list(range(model.vocabulary_size)))
    return [(token or "").lstrip(_MARKS).lower() for token in tokens]


def whole_words(model: LoadedModel, ids: Tensor) -> Tensor:
    """Those of ``ids`` that are words of three letters and more by themselves, in their order."""
    spelt = letters(model)
    found = [
        i
        for i in ids.tolist()
        if len(spelt[i]) > 2 and spelt[i].isalpha() and retokenizes(model, (i,))  # noqa: PLR2004
    ]
    return torch.tensor(found, dtype=ids.dtype)


def random_items(
    ids: Tensor, pieces: int, count: int, seed: int, without: Collection[int] = ()
) -> list[tuple[int, ...]]:
    """``count`` random sequences of ``pieces`` vocabulary items: the null of candidates so long.

    Those that hold one of the ids ``without`` are drawn again, and all others stay: of 100 items
    the spread is known to a tenth, so another draw for one candidate more would move every z.
    """
    generator = torch.Generator().manual_seed(seed + pieces)
    taken, found = torch.tensor(sorted(without), dtype=ids.dtype), list[list[int]]()
    while len(found) < count:
        drawn = ids[torch.randint(len(ids), (count, pieces), generator=generator)]
        found += drawn[~torch.isin(drawn, taken).any(1)].tolist()
    return [tuple(row) for row in found[:count]]
