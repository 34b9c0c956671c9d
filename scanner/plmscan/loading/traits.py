"""How a model is read, as experiments found it: pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Location", "Traits"]


class Location(StrEnum):
    """Where a feature vector of a text is read."""

    CLS = "cls"
    """Last hidden state of the classification token."""
    POOLER = "pooler"
    """Output of the pooler that the architecture puts on the classification token."""
    MEAN = "mean"
    """Mean of the last hidden state over the real tokens, special tokens included."""
    MASK = "mask"
    """Last hidden state of the first mask token."""
    LAST = "last"
    """Last hidden state of the last real token."""
    EMBEDDING = "embedding"
    """What sentence-transformers makes of a text as a whole, by the parts in `modules.json`."""


@dataclass(frozen=True)
class Traits:
    """How one model is read."""

    decoder: bool = False
    """Tokens see only what precedes them, so a text is read at its last token."""
    cls_last: bool = False
    """The classification token ends a text instead of beginning it."""
    part: str = ""
    """Part of the base model that is measured; empty for all of it."""
    pooler: str = ""
    """Name of the base model's pooler, whose weights begin with it; empty without one."""
    width: int = 0
    """Numbers in a hidden state."""
    layers: int = 0
    """Layers that a token passes."""
    positions: int | None = None
    """Longest text, special tokens included, that has a position for each token; None where
    nothing sets a limit."""
    transposed: bool = False
    """The model looks its words up as (n, b) instead of (b, n)."""
    ahead: int = 0
    """Rows of the table that the model looks up before those of a text."""
    by_words: bool = True
    """All that a model takes from a token are the word embeddings that stand in its place."""
    padded: bool = True
    """A text gives the same beside longer ones as alone; otherwise only texts of one length are
    computed together."""
    heads: int = 0
    """Attention heads of each layer, where all layers show what they look at; otherwise 0."""
    head_outputs: tuple[str, ...] = ()
    """Names of the modules that take in what a layer's heads give, side by side, in the order of
    the layers, which may share one; empty where no module does."""

    def told(self) -> str:
        """What experiments found, as a report says it, in one sentence."""
        return f"Found by experiment: {'; '.join(self._facts())}."

    def _facts(self) -> Iterator[str]:
        """Each in a few words."""
        seen = "what precedes them" if self.decoder else "the whole text"
        yield f"tokens see {seen}"
        if self.part:
            yield f"measured at its {self.part}"
        if self.cls_last:
            yield "the classification token ends a text"
        if self.pooler:
            yield f"{self.pooler} pools"
        if not self.by_words:
            yield "a token brings more than its word embedding, which gradients do not see"
        if not self.padded:
            yield "padding changes what a text gives, so texts of one length were batched"
        if not self.heads:
            yield "no attention maps in every layer"
        elif not self.head_outputs:
            yield "no module takes in what the heads give"
