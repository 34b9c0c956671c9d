"""What a report at a terminal has to fit: columns, colours, characters, and patience."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["PLAIN_SCREEN", "Detail", "Screen"]

_PLAIN = {
    "“": '"',
    "”": '"',
    "’": "'",
    "«": "<<",
    "»": ">>",
    "·": "*",
    "→": "->",
    "…": "...",
    "≈": "~",
    "–": "-",
    "─": "-",
    "\N{NO-BREAK SPACE}": " ",
}
"""What stands for plmscan's own signs where a terminal cannot show them."""


class Detail(Enum):
    """How much a person is told."""

    BRIEF = auto()
    """A line a model."""
    NORMAL = auto()
    """The report; of several models those that do not pass, and a table of all."""
    FULL = auto()
    """The report of every model."""


@dataclass(frozen=True)
class Screen:
    """Where a report is shown."""

    width: int = 80
    """Columns."""
    colour: bool = False
    """Whether it knows colours."""
    encoding: str = "utf-8"
    """What it can show; a sign that it cannot is replaced or spelt out."""
    detail: Detail = Detail.NORMAL
    """How much of the report."""

    def legible(self, text: str) -> str:
        """``text`` in characters that the screen can show."""
        if self.encoding.lower().replace("-", "").startswith("utf"):
            return text
        return "".join(map(self._shown, text))

    def _shown(self, character: str) -> str:
        """One character, or what stands for it."""
        try:
            character.encode(self.encoding)
        except UnicodeEncodeError:
            return _PLAIN.get(character) or character.encode("unicode_escape").decode("ascii")
        return character


PLAIN_SCREEN = Screen()
"""A log of 80 columns without colours."""
