"""Steps of a tokenizer that put other text in the place of what was typed."""

from __future__ import annotations

import re
import sys
import unicodedata
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from plmscan.vocabularies.letters import is_plain_word
from plmscan.vocabularies.patterns import exchanged_letters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.vocabularies.files import Component

__all__ = ["KNOWN_STEPS", "Rewrite", "rewrites"]

KNOWN_STEPS: Mapping[str, frozenset[str]] = {
    "normalizer": frozenset(
        {"BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt"}
        | {"Precompiled", "Prepend", "Replace", "Strip", "StripAccents"}
    ),
    "pre_tokenizer": frozenset(
        {"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength"}
        | {"Metaspace", "Punctuation", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"}
    ),
    "post_processor": frozenset(
        {"BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"}
    ),
    "decoder": frozenset(
        {"BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace"}
        | {"Strip", "WordPiece"}
    ),
}
"""Types of steps by place that `rewrites` understands."""

_EVERY_LETTER = re.compile(r" ?\??\[?(?:\\p\{L\}|\\w|\\S)(?:\\p\{[LMN]\})*\]?\+?")
"""A choice of a regular expression that takes any letter, such as ``\\p{L}+``."""
_LETTERS_OF_A_SYMBOL = 2
"""``ß`` becomes ``ss`` in some normalizers; more letters than that are a word."""
_HALF_THE_ALPHABET = 13
"""Who replaces more Latin letters than that by one text leaves no word as it was."""
_LONGEST_TEXT, _LONGEST_REGEX = 1000, 10_000
"""Characters from which a step is taken for what it could be at worst: no honest one is as long,
and sorting the accents of a letter that has a million takes hours."""
_SAFE_ESCAPE = re.compile(r"\\(?:[sntrvfbBAzZ]|p\{[ZPSCM][a-z]?\}|p\{(?:Punct|Space)\})")
_HEX_ESCAPE = re.compile(r"\\(?:x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")
_SYMBOL_ESCAPE = re.compile(r"\\([^\w\s])")
_QUANTIFIER = re.compile(r"\{\d*(?:,\d*)?\}")
_GROUP = re.compile(r"\(\?(?:[a-zA-Z-]*:|[=!>]|<[=!])")
_POSIX_CLASS = re.compile(r"\[:(?:space|punct|blank|cntrl):\]")
_RANGE = re.compile(r"(.)-(.)", re.DOTALL)
_CLASS = re.compile(r"\[[^\[\]]*\]")


@dataclass(frozen=True)
class Rewrite:
    """One replacement that a tokenizer makes."""

    place: str
    """The kind of step."""
    source: str
    """What is replaced: text, or a regular expression."""
    target: str
    """What stands there afterwards."""
    words: bool
    """Whether it can replace, insert or remove whole words; False for single letters."""

    def __str__(self) -> str:
        """As a report shows it."""
        return f"{self.place}: {self.source!r:.60} -> {self.target!r:.60}"


def rewrites(component: Component, ids: Mapping[str, int]) -> Iterator[Rewrite]:
    """The replacements of one step that touch letters or digits.

    Args:
        component: the step.
        ids: id by token, added tokens included.

    Raises:
        ValueError: a precompiled character map is broken.
    """
    place, settings = component.place, component.settings
    match component.kind:
        case "Replace":
            yield from _replaced(place, settings["pattern"], str(settings["content"]))
        case "Prepend":
            yield from _judged(place, "", str(settings["prepend"]))
        case "Split" if settings.get("behavior") == "Removed" and settings.get("invert"):
            yield from _kept(place, settings["pattern"])
        case "Split" if settings.get("behavior") == "Removed":
            yield from _replaced(place, settings["pattern"], "")
        case "CharDelimiterSplit":
            yield from _judged(place, str(settings["delimiter"]), "")
        case "Precompiled":
            # Single letters follow the Unicode version of the map's maker: no sign of anything.
            for source, target in component.rules():
                yield from (r for r in _judged(place, source, target) if r.words)
        case "TemplateProcessing" | "BertProcessing" | "RobertaProcessing":
            yield from _inserted(place, settings, ids)


def _replaced(place: str, pattern: Mapping[str, Any], target: str) -> Iterator[Rewrite]:
    """A replacement of a text or of a regular expression."""
    if "String" in pattern:
        yield from _judged(place, str(pattern["String"]), target)
        return
    regex = str(pattern["Regex"])
    if len(regex) > _LONGEST_REGEX or len(target) > _LONGEST_TEXT:
        yield Rewrite(place, regex[:_LONGEST_TEXT], target[:_LONGEST_TEXT], words=True)
        return
    letters = exchanged_letters(regex)
    if letters:
        yield from _exchanged(place, regex, letters, target)
    elif letters is None and _matches_letters(regex):
        yield Rewrite(place, regex, target, words=True)
    else:
        yield from _judged(place, "", target)


def _kept(place: str, pattern: Mapping[str, Any]) -> Iterator[Rewrite]:
    """What is left of a text of which only that stays which matches: every letter, or some."""
    regex = pattern.get("Regex")
    choices = str(regex or "")[:_LONGEST_REGEX].split("|")
    if not any(_EVERY_LETTER.fullmatch(choice) for choice in choices):
        shown = str(regex or pattern.get("String", ""))[:_LONGEST_TEXT]
        yield Rewrite(place, f"all but {shown}", "", words=True)


def _exchanged(place: str, regex: str, letters: str, target: str) -> Iterator[Rewrite]:
    """A replacement of each of ``letters``, unless it only changes their case or form."""
    after, folded = _folded(target), _folded_letters()
    changed = [letter for letter in letters if folded[letter] != after]
    latin = {c.lower() for c in changed if c.isascii() and c.isalpha()}
    if changed:
        words = len(latin) > _HALF_THE_ALPHABET or _letters(target) > _LETTERS_OF_A_SYMBOL
        yield Rewrite(place, regex, target, words)


def _judged(place: str, source: str, target: str) -> Iterator[Rewrite]:
    """A replacement of ``source``, unless it only changes case, form or punctuation."""
    if max(len(source), len(target)) > _LONGEST_TEXT:
        yield Rewrite(place, source[:_LONGEST_TEXT], target[:_LONGEST_TEXT], words=True)
        return
    before, after = _letters(source), _letters(target)
    if (before or after) and _folded(source) != _folded(target):
        words = before != 1 or after > _LETTERS_OF_A_SYMBOL
        yield Rewrite(place, source, target, words)


def _inserted(place: str, settings: Mapping[str, Any], ids: Mapping[str, int]) -> Iterator[Rewrite]:
    """Words that a template adds to every text, and ids under another token's name."""
    for token, number in _template_tokens(settings):
        if ids.get(token, number) != number:
            yield Rewrite(place, "", f"id {number} as {token}", words=True)
        elif is_plain_word(token.strip("▁Ġ")):
            yield Rewrite(place, "", token, words=True)


def _template_tokens(settings: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The tokens that a post-processor adds, with their ids."""
    for special in (settings.get("special_tokens") or {}).values():
        yield from zip(special["tokens"], special["ids"], strict=False)
    for role in ("cls", "sep"):
        if role in settings:
            token, number = settings[role]
            yield token, number


def _letters(text: str) -> int:
    """How many letters and digits ``text`` has; what Python does not know yet may be one."""
    return sum(c.isalnum() or unicodedata.category(c) == "Cn" for c in text)


def _folded(text: str) -> str:
    """``text`` without case, compatibility forms and accents."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in decomposed if c.isalnum())


@cache
def _folded_letters() -> Mapping[str, str]:
    """Every letter and digit of Unicode, folded: many steps ask for all of them."""
    return {chr(code): _folded(chr(code)) for code in _alphanumerics()}


def _matches_letters(regex: str) -> bool:
    """Whether a regular expression may match letters or digits; in doubt, it may."""
    plain = regex.replace("\\\\", " ")
    plain = _POSIX_CLASS.sub(" ", _SAFE_ESCAPE.sub(" ", plain))
    plain = _HEX_ESCAPE.sub(lambda m: chr(min(int(m[1] or m[2] or m[3], 16), 0x10FFFF)), plain)
    if "[^" in plain or re.search(r"(?<!\\)\.", _CLASS.sub("", plain)):
        return True
    plain = _GROUP.sub("(", _QUANTIFIER.sub("", plain))
    ranges = _RANGE.findall(plain) if "[" in plain else []
    plain = _SYMBOL_ESCAPE.sub(r" \1", plain)
    if re.search(r"\\\w", plain) or _letters(plain):
        return True
    return any(_spans_letters(first, last) for first, last in ranges)


def _spans_letters(first: str, last: str) -> bool:
    """Whether a range of characters holds a letter or digit."""
    found = _alphanumerics()
    at = bisect_left(found, ord(first))
    return at < len(found) and found[at] <= ord(last)


@cache
def _alphanumerics() -> array[int]:
    """All letters and digits of Unicode, in order."""
    return array("L", (code for code in range(sys.maxunicode + 1) if chr(code).isalnum()))
