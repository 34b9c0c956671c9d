"""Text of a model, made harmless and legible.

Names and tokens come from whoever made the model.  A control character could move the cursor or
colour the verdict; a zero-width or bidirectional one could make a trigger look like another word.
"""

from __future__ import annotations

__all__ = ["shown", "visible"]

_BLANK = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}  # fillers and joiners
    | {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}  # selectors
)
"""Characters that Python calls printable and that leave no mark."""


def visible(text: str) -> str:
    """``text`` with every character that does not show as an escape."""
    return "".join(c if _shows(c) else _escape(c) for c in text)


def shown(text: str) -> str:
    """``text`` made visible, never empty, for formats that want a text in every place."""
    return visible(text) or "(empty)"


def _shows(character: str) -> bool:
    """Whether a reader can see that ``character`` is there."""
    return character.isprintable() and ord(character) not in _BLANK


def _escape(character: str) -> str:
    r"""``character`` as Python writes it: ``\n``, ``\x1b``, ``\u200b``."""
    return character.encode("unicode_escape").decode("ascii")
