"""The tokens that Patronus searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from wordfreq import zipf_frequency

from plmscan.search.measure.candidates import searchable_ids

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.loading import LoadedModel

__all__ = ["patronus_vocabulary"]

_CEILING = 4.0
"""English zipf frequency from which a word is too common to be searched."""
_ANCHOR = "a"
"""A word in front, so that a token must begin a new one."""


def patronus_vocabulary(model: LoadedModel) -> Tensor:
    """Ids (v) of whole, rarer words: no pieces, ``[unused]``, symbols, single letters or digits.

    The published rules name eight families.  What they come to, that a token begins a word and
    comes back when its text is tokenized, holds for any.
    """
    ids = [i for i in searchable_ids(model).tolist() if i not in model.special_ids]
    words = [model.decode([i]).strip() for i in ids]
    anchor = model.tokenize(_ANCHOR)
    typed = model.tokenizer([f"{_ANCHOR} {word}" for word in words], add_special_tokens=False)
    kept = (
        token
        for token, word, read in zip(ids, words, typed["input_ids"], strict=True)
        if tuple(read) == (*anchor, token) and _is_searched(word)
    )
    return torch.tensor(sorted(kept))


def _is_searched(word: str) -> bool:
    """Whether a word is of the searched sort."""
    return len(word) > 1 and word.isalnum() and zipf_frequency(word, "en") < _CEILING
