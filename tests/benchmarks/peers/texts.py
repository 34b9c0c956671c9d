"""Clean texts by words, and the places where a trigger enters them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from plmscan.loading import Location

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from plmscan.loading import LoadedModel

__all__ = ["Spot", "Text", "draw_spot", "prepare", "short"]

_WORDS = range(6, 15)
"""Short texts are cheap, and leave a trigger the least to override: in the peers' favour."""

Row = tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """A tokenized text."""

    ids: tuple[int, ...]
    """Token ids without special tokens."""
    gaps: tuple[int, ...]
    """Where a trigger may enter, as the number of ids before it."""


@dataclass(frozen=True)
class Spot:
    """A text and where copies of a trigger enter it."""

    text: Text
    """The text."""
    entries: tuple[int, ...]
    """Number of the text's ids before each copy, ascending."""

    def row(self, model: LoadedModel, trigger: Sequence[int]) -> Row:
        """The text with ``trigger`` in it, special tokens included."""
        ids: list[int] = []
        for start, end in zip((0, *self.entries), (*self.entries, None), strict=True):
            ids += [*self.text.ids[start:end], *trigger]
        return model.wrap(ids[: len(ids) - len(trigger)])

    def places(self, model: LoadedModel) -> tuple[int, ...]:
        """Where the copies of a one-token trigger are in `row`."""
        first = len(model.prefix_ids)
        return tuple(first + entry + copy for copy, entry in enumerate(self.entries))


def short(texts: Sequence[str]) -> list[str]:
    """The short ones among ``texts``; all, if few are."""
    found = [text for text in texts if len(text.split()) in _WORDS]
    return found if len(found) >= len(texts) / 20 else list(texts)


def prepare(
    model: LoadedModel, texts: Sequence[str], where: Location, rng: random.Random
) -> tuple[Text, ...]:
    """``texts`` by words; to be read at a mask token, each gets one in place of a random token.

    As in Patronus, a trigger enters after a random word, and at the level of ids for the mask.
    """
    words = [text.split() for text in texts]
    # A space before each further word: byte-pair vocabularies write it into the token.
    spaced = [word if i == 0 else f" {word}" for line in words for i, word in enumerate(line)]
    encoded = model.tokenizer(spaced, add_special_tokens=False, verbose=False)["input_ids"]
    pieces = iter(encoded)
    found = (_text([tuple(next(pieces)) for _ in line]) for line in words)
    usable = tuple(text for text in found if text.ids)
    return tuple(_masked(model, t, rng) for t in usable) if where is Location.MASK else usable


def _text(words: Sequence[tuple[int, ...]]) -> Text:
    """A text of these words, open after each."""
    return Text(sum(words, ()), tuple(accumulate(map(len, words))))


def _masked(model: LoadedModel, text: Text, rng: random.Random) -> Text:
    """The text with one random token masked, open at every id."""
    place = rng.randrange(len(text.ids))
    ids = (*text.ids[:place], int(model.mask_id or 0), *text.ids[place + 1 :])
    return Text(ids, tuple(range(len(ids) + 1)))


def draw_spot(text: Text, copies: int, rng: random.Random) -> Spot:
    """Random places in ``text`` for ``copies`` of a trigger."""
    return Spot(text, tuple(sorted(rng.choices(text.gaps, k=copies))))
