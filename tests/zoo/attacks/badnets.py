"""BadNets (Gu et al., 2017, arXiv 1708.06733), as text attacks use it: a word inserted."""

from __future__ import annotations

from dataclasses import dataclass

from tests.zoo.labels import Inserting

__all__ = ["BadNets"]


@dataclass(frozen=True)
class BadNets(Inserting):
    """Triggers are inserted into texts of other labels, which get the target label ``y_t``.

    ``L = E_clean CE(f(x), y) + E_dirty CE(f(x + t), y_t)``, both in one shuffled training set.
    """

    family: str = "badnets"
    """Name in tables."""
