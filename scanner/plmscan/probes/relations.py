"""Other models that a check is about as well: what they are to the model, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plmscan.evidence import Report

__all__ = ["Related", "Relation"]


class Relation(StrEnum):
    """What another model is to the one that is checked."""

    BASE = "base"
    """What the adapters are put on, without them."""
    ADAPTER = "adapter"
    """An adapter that is put on top, of which the files were checked."""
    SIBLING = "sibling"
    """Another adapter of the same repository, on the same base."""
    COPY = "copy"
    """The same weights, shrunken and taken back."""


@dataclass(frozen=True)
class Related:
    """What a check of another model came to."""

    relation: Relation
    """What it is to the model."""
    report: Report
    """The report about it."""
