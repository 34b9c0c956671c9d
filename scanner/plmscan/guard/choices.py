"""What a user may choose; imports nothing, so that the command line can name it."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Action", "Variants"]


class Action(StrEnum):
    """What to do with a text that holds a trigger."""

    FLAG = "flag"
    """Say so, and let it through."""
    NEUTRALISE = "neutralise"
    """Take the trigger out."""
    REJECT = "reject"
    """Do not let it through."""


class Variants(StrEnum):
    """What to make of the weaker inputs that a report lists beside a trigger.

    Around a classifier's trigger some of them are honest words of the same label.
    """

    ACT = "act"
    """Treat them as the trigger."""
    TELL = "tell"
    """Name them; a text with nothing else in it is clean."""
    IGNORE = "ignore"
    """Do not look for them."""
