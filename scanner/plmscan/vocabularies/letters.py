"""Tokens as people read them: plain words, and words in which something hides."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from tokenizers.decoders import ByteLevel

from plmscan.lookalikes import LOOKALIKES

if TYPE_CHECKING:
    from collections.abc import Callable

    from regex import Pattern  # type: ignore[import-untyped]

    from plmscan.vocabularies.files import TokenizerData

__all__ = ["has_lookalike", "hides", "is_plain_word", "readable"]

_PLAIN_WORD = re.compile(r"[^\W\d_](?:[^\W_]|[ '’-](?=[^\W_]))*[^\W_]")
_USUAL_NAMES = frozenset({"pad", "unk", "cls", "sep", "mask", "bos", "eos", "eot", "eod", "eop"})
"""Special tokens that some tokenizers write without brackets."""
_NOTHING_TO_SEE = (
    r"\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\p{Zl}\p{Zp}"
    r"\N{BRAILLE PATTERN BLANK}\N{MUSICAL SYMBOL NULL NOTEHEAD}"
)
"""What shows as nothing: by properties of Unicode, and two signs whose shape is to be empty."""
_WHITE_SPACE = "\t\n\r"


def readable(data: TokenizerData) -> list[str]:
    """The tokens as a person would read them, without the marks of their tokenizer."""
    kinds = {component.kind for component in data.components}
    byte_level = "ByteLevel" in kinds or any(token.startswith("Ġ") for token in data.tokens)
    read = _byte_reader() if byte_level else _mark_reader()
    return [token if token.isascii() else read(token) for token in data.tokens]


def _byte_reader() -> Callable[[str], str]:
    """Reads tokens whose characters stand for bytes."""
    decoder = ByteLevel()
    return lambda token: str(decoder.decode([token]))


def _mark_reader() -> Callable[[str], str]:
    """Reads tokens in which a mark stands for a space."""
    return lambda token: token.replace("▁", " ")


def is_plain_word(text: str) -> bool:
    """Whether ``text`` is a word or phrase that a user could type, and no mark."""
    return _PLAIN_WORD.fullmatch(text) is not None and text.lower() not in _USUAL_NAMES


def hides(text: str, accepted: str = "") -> bool:
    """Whether an invisible character that is not ``accepted`` stands in a Latin word."""
    if text.isascii() and text.isprintable():
        return False
    return bool(_invisible(accepted).search(text) and _latin().search(text))


def has_lookalike(text: str) -> bool:
    """Whether Latin letters and look-alikes of them, and no others, make up one token."""
    if text.isascii() or LOOKALIKES.keys().isdisjoint(text):
        return False
    foreign = [c for c in text if c.isalpha() and not (c.isascii() or _latin().match(c))]
    plain = any(c.isascii() and c.isalpha() for c in text)
    return plain and bool(foreign) and all(c in LOOKALIKES for c in foreign)


@cache
def _invisible(accepted: str) -> Pattern:
    """Finds characters that do not show, and are neither ``accepted`` nor white space."""
    import regex  # noqa: PLC0415 - few words are worth its import

    return regex.compile(f"[{_NOTHING_TO_SEE}--[{_WHITE_SPACE}{accepted}]]", regex.V1)


@cache
def _latin() -> Pattern:
    """Finds letters of the Latin script."""
    import regex  # noqa: PLC0415

    return regex.compile(r"\p{Script=Latin}")
