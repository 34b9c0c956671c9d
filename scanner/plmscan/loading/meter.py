"""What a model costs: tokens that went through it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TokenMeter"]


@dataclass
class TokenMeter:
    """Counts tokens through a model: the one mutable thing about it."""

    tokens: int = 0
    """Forward-token-equivalents so far, padding included."""

    def add(self, tokens: int) -> None:
        """Count ``tokens`` more."""
        self.tokens += tokens
