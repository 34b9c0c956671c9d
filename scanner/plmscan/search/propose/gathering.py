"""Gathering: sentences that turn a classifier, found as bags of their words.

First a candidate grows from words that were chosen in company (`company`) by what they push beyond
their likeness to texts of the label, so that the words of a sentence come together before honest
ones do.  Then it grows on by the push alone, as far as it takes to override a text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.search.propose.company import Company, unlike_synonyms
from plmscan.search.propose.grow import Grower

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from plmscan.budget import Budget
    from plmscan.search.measure.likeness import Likeness
    from plmscan.search.propose.company import Companies, Companions
    from plmscan.search.propose.objectives import Objective
    from plmscan.search.sweep.distances import Sweep

__all__ = ["LONGEST_BAG", "Bag", "Gathering"]

LONGEST_BAG = 10
"""Tokens of the longest candidate of words that were chosen in company."""

_FIRST = 2
"""So many of the best words are extended beside the one that scores highest alone."""

_PLENTY = 2.0
"""Of what suffices, how much ends growth: a trigger gets there in a few words, and what joined
before its words and is none of them can be spared then."""


@dataclass(frozen=True)
class Bag(Grower):
    """Grows candidates of words that help each other in any order, where no gradient shows them."""

    company: Sequence[tuple[int, ...]]
    """Single items that are tried at the end of each candidate, the best first."""

    @classmethod
    def of(cls, grower: Grower, company: Sequence[tuple[int, ...]]) -> Bag:
        """For the aim of ``grower``, in its carriers."""
        return cls(**vars(grower), company=company)

    @property
    def longest(self) -> int:
        """Tokens of the longest candidate."""
        return LONGEST_BAG

    @property
    def plenty(self) -> float:
        """Score from which on a candidate grows no further."""
        return _PLENTY * self.objective.enough

    @property
    def sufficient(self) -> float:
        """Nothing is: each word of a sentence adds to it."""
        return math.inf

    @property
    def width(self) -> int:
        """The one with the highest score, and the one that gained most."""
        return 1

    def starts(
        self, seeds: Sequence[tuple[int, ...]]
    ) -> tuple[Sequence[tuple[int, ...]], Sequence[tuple[int, ...]], int]:
        """Of the company; ``seeds`` of several tokens go on as they are."""
        longer = [seed for seed in seeds if len(seed) > 1]
        return (longer, (), 0) if longer else (self.company[:_FIRST], self.company, 1)

    def joins(
        self, beam: Iterable[tuple[int, ...]], seeds: Sequence[tuple[int, ...]]
    ) -> Iterator[tuple[tuple[int, ...], int, tuple[int, ...]]]:
        """Company and ``seeds`` at the end of each candidate, in one order beyond pairs."""
        met: set[tuple[int, ...]] = set()
        for candidate in beam:
            for new in dict.fromkeys((*self.company, *seeds)):
                longer = (*candidate, *new)
                words = longer if len(candidate) == 1 else tuple(sorted(longer))
                if words not in met:
                    met.add(words)
                    yield candidate, len(candidate), new


@dataclass(frozen=True)
class Gathering:
    """Gathers the words of sentences for one label."""

    grower: Grower
    """Grows candidates by their push."""
    companions: Companions
    """Words of the label."""

    @classmethod
    def of(
        cls,
        grower: Grower,
        label: int,
        likeness: Likeness | None,
        swept: Sweep,
        sizes: Companies,
        budget: Budget,
    ) -> Gathering:
        """Choose the words in company.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        company = Company(grower.model, grower.panel, label, likeness, sizes)
        words: list[int] = []
        if swept.leads is not None:
            leads, labels = swept.leads[:, label], swept.leads.shape[1]
            count = max(sizes.kept, sizes.words // labels)
            words = unlike_synonyms(grower.model, swept.ids, leads, count).tolist()
        return cls(grower, company.companions(words, budget))

    @property
    def objective(self) -> Objective:
        """What candidates are to do."""
        return self.grower.objective

    def grow(self, seeds: Sequence[tuple[int, ...]], budget: Budget) -> list[tuple[int, ...]]:
        """Candidates of two tokens and more, those that push most first.

        Words that do all of it alone are no part of a sentence.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        bag = Bag.of(self.grower, ())
        pushing = replace(bag, company=bag.unable(self.companions.best))
        if not pushing.company:
            return []
        seeds = pushing.unable(seeds)
        if self.companions.beyond is None:
            return pushing.grow(seeds, budget)
        pure = replace(pushing, objective=self.companions.beyond)
        found = pure.grow(seeds, budget.part(0, 0.6))
        return [*pushing.grow(found[:1], budget.part(0.6, 1)), *found] if found else []
