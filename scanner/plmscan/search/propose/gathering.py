"""Gathering: sentences that turn a classifier, found as bags of their words.

First a candidate grows from words that were chosen in company (`company`) by what they push beyond
their likeness to texts of the label, so that the words of a sentence come together before honest
ones do.  Then it grows on by the push alone, as far as it takes to override a text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.search.propose.company import Company, unlike_synonyms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.budget import Budget
    from plmscan.search.propose.company import Companies, Companions
    from plmscan.search.propose.grow import Grower
    from plmscan.search.propose.objectives import Likeness, Objective
    from plmscan.search.sweep.distances import Sweep

__all__ = ["Gathering"]


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
        """Candidates of two tokens and more: what gradients extend, and what was gathered.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        extended = self.grower.grow(seeds, budget.part(0, 0.5))
        return list(dict.fromkeys((*self.gathered(seeds, budget.part(0.5, 1)), *extended)))

    def gathered(self, seeds: Sequence[tuple[int, ...]], budget: Budget) -> list[tuple[int, ...]]:
        """Candidates of words that were chosen in company, those that push most first.

        Words that suffice alone are no part of a sentence.

        Raises:
            OutOfTimeError: the budget's deadline passed.
        """
        company = tuple(self.grower.unable(self.companions.best))
        if not company:
            return []
        pushing = replace(self.grower, company=company)
        seeds = self.grower.unable(seeds)
        if self.companions.beyond is None:
            return pushing.grow(seeds, budget)
        pure = replace(pushing, objective=self.companions.beyond)
        found = pure.grow(seeds, budget.part(0, 0.6))
        return [*pushing.grow(found[:1], budget.part(0.6, 1)), *found] if found else []
