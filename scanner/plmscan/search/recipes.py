"""How much of each step a search does, by effort; pure data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plmscan.budget import Effort
from plmscan.search.propose.company import Companies
from plmscan.search.propose.contrast import PLMSCAN, Contrast
from plmscan.search.propose.groups import Grouping
from plmscan.search.propose.together import Together

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Sizes of one search.  They set the cost and the resolution, never a verdict."""

    reference_items: int
    """Vocabulary items, drawn at random, from which the covariance of the sweep is estimated."""
    survivors: int
    """Items that each ranking (location x distance) passes on to the screening."""
    screening_carriers: int
    """Carriers on which survivors are screened for scatter."""
    growing_carriers: int
    """Carriers on which longer candidates grow, disjoint from all others."""
    selecting_tokens: int
    """Tokens at which those carriers, and those of the screening, are cut off, but for a masked
    language model, which recalls a word by all that stands around it."""
    contrast: Contrast
    """The contrastive search on the same carriers."""
    seeds: int
    """Items from which longer candidates grow, for each location and each label."""
    finalists: int
    """Candidates that the screening passes on to the verification, and pairs at most again."""
    carriers: int
    """Carriers of the verification, disjoint from those of the screening."""
    synonym_carriers: int
    """Carriers on which tokens are exchanged for synonyms, disjoint from both."""
    label_items: int
    """Items that the label sweep passes on to the screening, shared among the labels."""
    null_items: int
    """Random vocabulary items that form the null; the smallest p-value is 1 / (null_items + 1)."""
    companies: Companies
    """The reading of words in company, from which longer candidates of classifiers grow."""
    grouping: Grouping | None = None
    """The group test for pairs of words; None to leave it out."""
    completes: bool = False
    """Whether finalists are completed before they are told."""
    together: Together | None = None
    """The search for words that are needed together in classifiers; None to leave it out."""


_BRIEF = replace(PLMSCAN, rounds=1, steps=6)
_LONG = replace(PLMSCAN, slots=12, length=3, rounds=6, steps=30, carriers=10, proposals=10)

_GROUPS = Grouping(words=16_000, size=48, opposed_size=80, rivals=10, kept=16)

_FEW = Companies(words=1024, size=12, texts=4, kept=16)
_MANY = Companies(words=2048, size=12, texts=6, kept=32)

RECIPES: Mapping[Effort, Recipe] = {
    Effort.QUICK: Recipe(4096, 32, 4, 12, 6, _BRIEF, 4, 32, 16, 12, 48, 100, _FEW),
    Effort.STANDARD: Recipe(
        8192,
        40,
        8,
        20,
        6,
        PLMSCAN,
        6,
        40,
        24,
        12,
        80,
        100,
        _MANY,
        together=Together(words=48, size=24, texts=40),
    ),
    Effort.DEEP: Recipe(
        16384,
        192,
        12,
        24,
        24,
        _LONG,
        12,
        96,
        48,
        12,
        160,
        400,
        _MANY,
        _GROUPS,
        completes=True,
        together=Together(words=96, size=24, texts=300),
    ),
}
