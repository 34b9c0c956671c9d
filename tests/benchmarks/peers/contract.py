"""What every peer is given and gives back, so that their costs and answers stand side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from plmscan.loading import LoadedModel

__all__ = ["Found", "Limit", "Peer", "PeerResult"]


def _nobody(_fraction: float, _note: str) -> None:
    """Nobody is watching."""


@dataclass(frozen=True)
class Limit:
    """How much a peer may spend, and who watches."""

    forward_tokens: int | None = None
    """Most forward-token-equivalents; None for the published budget."""
    on_progress: Callable[[float, str], None] = _nobody
    """Told the fraction done (0 to 1) and a note."""


@dataclass(frozen=True)
class Found:
    """A candidate that a peer put to its own test."""

    ids: tuple[int, ...]
    """Token ids; none for a soft prompt."""
    text: str
    """As a person reads it."""
    scores: Mapping[str, float]
    """The numbers that the peer's rule judges, by the names of its paper."""
    slack: float
    """How far inside the rule (at least 0) or outside it (below 0), in the peer's own units."""


@dataclass(frozen=True)
class PeerResult:
    """What a peer says about a model, and what that took."""

    flagged: bool
    """Whether it calls the model backdoored."""
    score: float | None
    """Largest slack of all candidates that it tested; None if it tested none."""
    found: tuple[Found, ...]
    """Candidates that its rule accepts, the best first."""
    sequences: int
    """Texts that went through the model, a gradient step counted once a text."""
    forward_tokens: int
    """Tokens that went through the model, padding included, a backward pass as two."""
    published_tokens: int
    """The same of the published code, where some of its passes were saved here."""
    seconds: float
    """Wall-clock time of the search, without loading the model."""
    finished: bool
    """False where the limit cut it short."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often the steps of its recipe ran."""


class Peer(Protocol):
    """A published scanner: a frozen dataclass of its constants."""

    def applies(self, model: LoadedModel) -> bool:
        """Whether the recipe fits a model of this sort at all."""

    def scan(self, model: LoadedModel, texts: Sequence[str], limit: Limit, seed: int) -> PeerResult:
        """Look for a backdoor in ``model`` with the help of clean ``texts``."""
