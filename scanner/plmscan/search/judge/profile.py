"""Profiles: all that was measured of one finalist, as rules judge it and reports tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plmscan.loading.decisions import BY_TOKENS, Answer, AnyOf, InText, Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plmscan.loading import Location
    from plmscan.loading.decisions import Decision
    from plmscan.search.judge.variants import Relation

__all__ = ["Candidate", "LabelFlip"]


@dataclass(frozen=True)
class LabelFlip:
    """What a candidate does to a classifier's labels."""

    target: int
    """The label to which it pushes most."""
    strength: float
    """Nearly the weakest push over carriers that argue against it, in honest leads."""
    gap: float | None
    """Strength less that of the best supported candidate for that label; None if not tried."""
    p_value: float
    """Rank p-value of the strength among random items, each for its own best label."""
    z: float
    """Robust z of the strength against the same."""
    opposed: int
    """Carriers that have another label without it."""
    beyond: float | None = None
    """Push beyond what likeness to texts of the label tells, less that of honest words; None if not
    tried."""


@dataclass(frozen=True)
class Candidate:
    """A finalist with all that was measured of it, at its most invariant location."""

    ids: tuple[int, ...]
    """Token ids."""
    location: Location
    """Where its scatter is lowest."""
    z: float
    """Robust z of -log scatter against random items."""
    p_value: float
    """Rank p-value among random items, corrected for the choice of location."""
    scatter: float
    """S there."""
    displacement: float
    """D there."""
    null_scatter: float
    """Median S of the null, each item at its own best location."""
    null_size: int
    """Items of the null."""
    relation: Relation
    """How it stands to the most invariant finalist with the same output."""
    flip: LabelFlip | None
    """What it does to labels; None without a classifier."""
    corruption: float | None
    """Share of the recall of hidden words that is lost; None without a masked language model."""
    corruption_z: float | None
    """Robust z of the same against random items."""
    gap: float | None = None
    """S of the best supported candidate with the same output, in multiples of its own; None if
    synonyms were not tried."""
    conjunction: float | None = None
    """S with its least needed token exchanged, in multiples of its own; None if not tried."""
    layers: tuple[float, ...] = ()
    """S of the classification token after each layer; empty if not measured."""
    core: tuple[int, ...] = ()
    """Tokens of a longer one that alone turn every ordinary carrier to its label."""
    unmeasured: frozenset[str] = frozenset()
    """Metrics that were not measured, as no rule could fire whatever they are."""

    def metrics(self, decision: Decision | None) -> Mapping[str, float]:
        """What rules compare; ``decision`` is that of the model, None without a classifier.

        A text keeps its features while single tokens of it change their labels, so of these it says
        nothing by how much synonyms leave of them.
        """
        flip, by_tokens = self.flip, isinstance(decision, BY_TOKENS)
        found = {
            "z": self.z,
            "p_value": self.p_value,
            "null_size": float(self.null_size),
            "scatter": self.scatter,
            "displacement": self.displacement,
            "null_scatter": self.null_scatter,
            "echo": self.relation.echo,
            "kin": float(self.relation.kin),
            "labels": 0.0 if decision is None else float(len(decision.labels)),
            "score": float(isinstance(decision, Score)),
            "several": float(type(decision) is AnyOf),
            "tokens": float(isinstance(decision, InText)),
            "spans": float(isinstance(decision, Answer)),
            "pieces": float(len(self.ids)),
            "gap": None if by_tokens else self.gap,
            "conjunction": self.conjunction if len(self.ids) > 1 and not by_tokens else None,
            "strength": None if flip is None else flip.strength,
            "strength_gap": None if flip is None else flip.gap,
            "beyond_gap": None if flip is None or by_tokens else flip.beyond,
            "strength_p": None if flip is None else flip.p_value,
            "strength_z": None if flip is None else flip.z,
            "opposed": None if flip is None else float(flip.opposed),
            "corruption": self.corruption,
            "corruption_z": self.corruption_z,
        }
        return {name: value for name, value in found.items() if value is not None}
