"""Texts that argue for a label, and how they are rewritten without losing the argument."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plmscan.carriers import restored, split_carriers
from plmscan.search.measure.candidates import searchable_ids, text_of, whole_words
from plmscan.search.measure.packing import packed
from plmscan.search.measure.readings import label_leads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel

__all__ = ["Argument", "arguments", "class_words", "leads_of", "leads_of_ids"]

_ALONE = 4096
"""Words, drawn at random, among which those that argue are looked for."""
_WORDS = 16
"""Strongest words of each label, of which texts get some."""
_STREWN = 3
"""Words in each text."""
_LONGEST = 64
"""Tokens of a rewritten text that are read."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Argument:
    """An ordinary text, with words strewn in that argue for a label."""

    plain: str
    """The text without them."""
    words: tuple[str, ...]
    """The words."""
    places: tuple[float, ...]
    """Where each goes, as a share of the words of the text."""

    @property
    def text(self) -> str:
        """The text with the words in it."""
        return self._strewn(self.plain)

    def rewritten(self, write: Callable[[str], str]) -> str:
        """The text as ``write`` has it, with all the words that argue.

        Where a rewriting would change these, they are strewn into the rewritten text.
        """
        whole = write(self.text)
        kept = set(_WORD.findall(whole))
        return whole if kept.issuperset(self.words) else self._strewn(write(self.plain))

    def _strewn(self, text: str) -> str:
        """The ``text`` with the words strewn in."""
        found = text.split()
        for word, place in zip(self.words, self.places, strict=True):
            found.insert(round(place * len(found)), word)
        return " ".join(found)


def class_words(model: LoadedModel, seed: int) -> tuple[tuple[str, ...], ...]:
    """For each label the whole words that by themselves argue most for it."""
    words = whole_words(model, searchable_ids(model))
    generator = torch.Generator().manual_seed(seed)
    drawn = words[torch.randperm(len(words), generator=generator)[:_ALONE]]
    alone = leads_of_ids(model, [(word,) for word in drawn.tolist()])
    best = alone.topk(min(_WORDS, len(drawn)), dim=0).indices
    return tuple(tuple(text_of(model, (i,)) for i in drawn[column].tolist()) for column in best.T)


def arguments(
    model: LoadedModel,
    texts: Sequence[str],
    words: Sequence[Sequence[str]],
    sizes: Sequence[int],
    seed: int,
) -> tuple[tuple[Argument, ...], ...]:
    """Disjoint sets of about the asked ``sizes``; labels take turns, each with its ``words``.

    Raises:
        TextsError: too few texts have a usable length in this model's tokens.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    found = split_carriers(model, texts, sizes, seed)
    return tuple(
        tuple(_argument(model, one, words[k % len(words)], rng) for k, one in enumerate(some))
        for some in found
    )


def _argument(
    model: LoadedModel, carrier: Carrier, words: Sequence[str], rng: random.Random
) -> Argument:
    """The text of a carrier with some of the ``words``."""
    plain = model.decode(restored(carrier, model.mask_id).ids)
    chosen = tuple(rng.sample(list(words), min(_STREWN, len(words))))
    return Argument(plain, chosen, tuple(rng.random() for _ in chosen))


def leads_of(model: LoadedModel, texts: Sequence[str]) -> Tensor:
    """Lead of each label for each of ``texts``, (n, labels)."""
    longest = min(_LONGEST, model.room or _LONGEST)
    return leads_of_ids(model, [model.tokenize(text)[:longest] for text in texts])


def leads_of_ids(model: LoadedModel, rows: Sequence[tuple[int, ...]]) -> Tensor:
    """The same of texts as token ids without special tokens, (n, labels)."""
    passes = packed(model, [model.wrap(row) for row in rows])
    read = [label_leads(model.forward(one.ids, one.mask)) for one in passes]
    order = torch.tensor([row for one in passes for row in one.rows])
    return torch.cat([one for one in read if one is not None])[order.argsort()]
