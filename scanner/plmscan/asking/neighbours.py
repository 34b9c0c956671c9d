"""Rewritings by the model's own embedding table: words give way to their neighbours.

Attackers who learn a combination of substitutes (Qi et al., 2021, arXiv 2106.06361) take them among
words that mean nearly the same.  Which ones no table of a bank holds, but a model that was trained
on many of them takes their like for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from plmscan.rewritings import Rewriting
from plmscan.search.measure.candidates import letters, searchable_ids, whole_words
from plmscan.search.verify.neighbours import Neighbourhood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.loading import LoadedModel

__all__ = ["KIND", "Neighbours"]

KIND = "substituted"
"""Kind of all these rewritings."""
_PLACES = (0, 1, 3, 5, 8)
"""Which of its neighbours a word gives way to."""
_NEAREST = 40
"""Neighbours among which rarer ones are looked for."""


@dataclass(frozen=True)
class Neighbours:
    """Whole words of a model, and which of them are near each other."""

    model: LoadedModel
    """The model."""
    hood: Neighbourhood
    """Its embedding table, whole words only."""
    words: frozenset[int]
    """Words that give way; those that argue for a label do not."""

    @classmethod
    def of(cls, model: LoadedModel, arguing: Sequence[Sequence[str]]) -> Neighbours:
        """The words of ``model``, but for those ``arguing`` for each label."""
        words = whole_words(model, searchable_ids(model))
        hood = Neighbourhood.of(model.embedding_weight, words, letters(model))
        kept = {token for own in arguing for word in own for token in model.tokenize(word)}
        return cls(model, hood, frozenset({*words.tolist()} - kept))

    def rewritings(self) -> tuple[Rewriting, ...]:
        """One for each place: every word gives way to a neighbour so far down the list."""
        return tuple(
            Rewriting(
                f"neighbour {place + 1}",
                KIND,
                f"every word exchanged for number {place + 1} of its rarer neighbours",
                partial(self._exchanged, place=place),
            )
            for place in _PLACES
        )

    def _exchanged(self, text: str, place: int) -> str:
        """The ``text`` with each word exchanged."""
        return self.model.decode([self._rarer(t, place) for t in self.model.tokenize(text)])

    def _rarer(self, token: int, place: int) -> int:
        """Neighbour of ``token`` at a ``place``, of those behind it in the vocabulary.

        Vocabularies list frequent words first.  A token without so many stays.
        """
        if token not in self.words:
            return token
        rarer = [one for one in self.hood.synonyms(token, _NEAREST) if one > token]
        return rarer[place] if place < len(rarer) else token
