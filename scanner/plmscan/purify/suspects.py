"""What is to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plmscan.evidence import Trigger

__all__ = ["Suspect"]


@dataclass(frozen=True)
class Suspect:
    """A recovered trigger, or a token whose row nobody but an attacker would have changed."""

    text: str
    """As a person can type it."""
    token_ids: tuple[int, ...]
    """What is inserted; two suspects with the same are one."""
    label: str | None = None
    """The label that a classifier is driven to, where that is known."""

    @classmethod
    def of(cls, trigger: Trigger) -> Suspect:
        """What a scan recovered."""
        return cls(trigger.text, trigger.token_ids, trigger.target_label)
