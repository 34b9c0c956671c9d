"""Text as a reader takes it in: no case, no accents, no disguise; and where each part stood.

What is folded away is what an attacker can vary without a person seeing it, or a model: case,
forms that Unicode holds compatible, accents (where the tokenizer drops them as well), characters
that do not show, and letters of other scripts that look Latin.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from plmscan.lookalikes import LOOKALIKES

__all__ = ["WORD", "Folded", "fold", "is_foreign"]

WORD = re.compile(r"(?:[^\W_]+[\u0300-\u036f]*)+")
"""A word of a folded text: letters and digits, with the accents that were kept."""

_ACCENTS = frozenset({"Mn", "Me"})
_CONTROLS = frozenset({"Cc", "Cf", "Cs", "Co"})
_NOT_SHOWN = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, 0xFFFD}
    | {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
)
"""Fillers, joiners and selectors that are letters or marks by category; and what stands for a
character that could not be read, which tokenizers drop as well."""


@dataclass(frozen=True)
class Folded:
    """A text whose disguise is off."""

    text: str
    """Small letters, and whatever else shows."""
    parts: tuple[str, ...] | None = None
    """What each character of the original became; None where each became one."""

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the original that became ``text[start:end]``, which is not empty."""
        if self.parts is None:
            return start, end
        ends = list(accumulate(map(len, self.parts)))
        first = next(i for i, reached in enumerate(ends) if reached > start)
        last = next(i for i, reached in enumerate(ends) if reached >= end)
        return first, last + 1


def fold(text: str, *, accents: bool = False) -> Folded:
    """``text`` folded; with ``accents`` they are kept, apart from their letters."""
    if text.isascii() and text.isprintable():
        return Folded(text.lower())
    parts = tuple(_with_accents(c) if accents else _bare(c) for c in text)
    return Folded("".join(parts), parts)


def is_foreign(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` is a word of a script that the text is really written in.

    Its letters look Latin, and others around it are of the same script and do not.
    """
    if any(c.isascii() and c.isalpha() for c in text[start:end]):
        return False
    scripts = {_script(c) for c in text[start:end] if c in LOOKALIKES}
    rest = (c for c in text if not c.isascii() and c.isalpha() and c not in LOOKALIKES)
    return bool(scripts) and any(_script(c) in scripts for c in rest)


@lru_cache(maxsize=1 << 14)
def _bare(character: str) -> str:
    """A character without accents."""
    kept = (c for c in _with_accents(character) if unicodedata.category(c) not in _ACCENTS)
    return "".join(kept)


@lru_cache(maxsize=1 << 14)
def _with_accents(character: str) -> str:
    """What becomes of a character; accents stand behind their letter."""
    plain = _shown(unicodedata.normalize("NFKD", LOOKALIKES.get(character, character)))
    small = "".join(LOOKALIKES.get(c, c) for c in plain).casefold()
    again = unicodedata.normalize("NFKD", small)
    return "".join(LOOKALIKES.get(c, c) for c in _shown(again))


def _shown(text: str) -> str:
    """``text`` without what does not show; what parts lines and words stays."""
    return "".join(c for c in text if c.isspace() or not _is_hidden(c))


def _is_hidden(character: str) -> bool:
    """Whether a reader cannot see that ``character`` is there."""
    return unicodedata.category(character) in _CONTROLS or ord(character) in _NOT_SHOWN


def _script(character: str) -> str:
    """The first word of its name, which is that of its script."""
    return unicodedata.name(character, "").partition(" ")[0]
