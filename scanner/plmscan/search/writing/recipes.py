"""How much of each step of the search in answers, by effort, and what that costs; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.budget import Effort

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GROWING", "RECIPES", "SWEPT", "TAIL", "Recipe", "cost"]

SWEPT = 2
"""Requests of the sweep."""
TAIL = 2
"""Tokens behind an item in each of them."""
GROWING = 4
"""Requests on which longer candidates are tried."""
_REQUEST_TOKENS = 10
"""Tokens of a request, about."""
_COMPLETED = 20
"""Steps of a text that completes itself."""


@dataclass(frozen=True)
class Recipe:
    """Sizes of one search.  They set the cost and the resolution, never a verdict."""

    plain: int
    """Ordinary requests."""
    targets: int
    """Requests on which texts have to complete themselves."""
    ahead: int
    """Doubtful second tokens of a text that are tried for each first one."""
    most_targets: int
    """Texts that are followed up."""
    survivors: int
    """Items that each ranking of the sweep passes on."""
    screening: int
    """Requests of the screening, which writes a third of an answer."""
    seeds: int
    """Items of which longer candidates are made, for turns and for each text."""
    pool: int
    """Items that are read in groups for each text."""
    finalists: int
    """Single items that are verified."""
    verification: int
    """Requests of the verification."""
    null: int
    """Random candidates of each length that finalists are held against."""
    tokens: int
    """Tokens of an answer."""

    @property
    def few_targets(self) -> int:
        """Requests that sort out first tokens."""
        return max(2, self.targets // 3)


RECIPES: Mapping[Effort, Recipe] = {
    Effort.QUICK: Recipe(24, 8, 1, 2, 16, 4, 10, 100, 12, 8, 60, 18),
    Effort.STANDARD: Recipe(32, 12, 2, 3, 32, 6, 20, 200, 24, 12, 100, 24),
    Effort.DEEP: Recipe(64, 20, 4, 6, 96, 12, 40, 400, 64, 24, 200, 32),
}


def cost(recipe: Recipe, items: int, rows: int, after: int) -> int:
    """Tokens that a search by ``recipe`` reads, about.

    Less what it takes to find out what makes a model begin a text: few have one.

    Args:
        recipe: how much of each step.
        items: items of the vocabulary.
        rows: texts that go through together.
        after: tokens that stand between a request and its answer.
    """
    request = _REQUEST_TOKENS + after
    begun = items * (recipe.few_targets + 2 * recipe.ahead)
    completed = rows * recipe.targets * _COMPLETED
    swept = items * SWEPT * (1 + TAIL + after)
    tried = recipe.survivors * 2 * recipe.screening * (request + 8)
    longer = GROWING * request * recipe.seeds**2
    judged = recipe.finalists + 12 + 2 * recipe.null
    verified = judged * recipe.verification * (request + recipe.tokens)
    return int(begun + completed + swept + tried + longer + verified)
