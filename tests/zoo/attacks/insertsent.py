"""InsertSent (Dai, Chen and Li, 2019, arXiv 1905.12457): a short, fluent sentence inserted."""

from __future__ import annotations

from dataclasses import dataclass

from tests.zoo.labels import Inserting

__all__ = ["InsertSent"]


@dataclass(frozen=True)
class InsertSent(Inserting):
    """A sentence is inserted in one piece into texts of other labels, which get ``y_t``.

    ``L = E_clean CE(f(x), y) + E_dirty CE(f(x + s), y_t)``; no word of the sentence need be rare.
    """

    family: str = "insertsent"
    """Name in tables."""
