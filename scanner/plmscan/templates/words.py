"""Words to try a template with, their neutral twins, and what a reader sees of the difference."""

from __future__ import annotations

import json
import re
import unicodedata
from html import escape, unescape
from itertools import combinations, permutations
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "HOLE", "candidates", "carrier", "forms", "is_markup", "is_switch", "is_token", "markup_in",
    "masked", "neutrals", "prose", "together", "without_dates", "written",
]  # fmt: skip

_MARKUP = re.compile(
    r"<\|[^<>]*\|>\w*|</?[\w|:.\-\s/=\"'▁｜]*>|\[/?[A-Z_ ]+\]|\{[^{}]*\}|<[|｜/]?[\w▁]+"
    r"|[\w▁]+[|｜]?>"
)
"""Tags such as ``</think>``, ``[INST]`` and ``<|channel|>final``, which templates split at."""
_NAME_END = re.compile(r"(?<=\|>)\w+$")
_COMMAND = re.compile(r"/\w+|CONTINUE_FINAL_MESSAGE_TAG")
"""Switches that users type, such as ``/no_think``, and the mark of transformers itself."""
_SWITCH = re.compile(
    r"/(?:no_?)?think|<think_o(?:n|ff)>|detailed thinking o(?:n|ff)|/system_override"
)
_TOKENS = re.compile(r"(?:<\|[^<>|]*\|>\w*)+")
_EMPTY = frozenset({"", "none", "null", "true", "false"})
_CARRIERS = ("mola nire tuba", "keld vosp ghyf", "12 34 56")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHIFTS = (7, 11, 19, 3)
_REPEATS = 12
_PRINTED = range(33, 0x3000)
_LONGEST_TOGETHER = 400
_MANY = 4
_ACROSTIC = 4
"""Letters of a word that may be those with which the words of a text begin."""
_DATES = re.compile(
    r"\d+|\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|mon(?:day)?|tue(?:sday)?"
    r"|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?|am|pm)\b",
    re.IGNORECASE,
)
HOLE = "\u25a1"
"""Stands where a word was put in."""


def is_markup(text: str) -> bool:
    """Whether a fixed string is a tag, a switch or punctuation rather than words."""
    if any(unicodedata.category(c) in ("Cf", "Zs") and c != " " for c in text):
        return False  # nobody sees it, so it is for somebody who knows
    rest = _MARKUP.sub("", text)
    is_command = _COMMAND.fullmatch(text.strip()) is not None or is_switch(text)
    if is_command or rest.strip().lower() in _EMPTY:
        return True
    return not any(character.isalnum() for character in rest)


def is_switch(text: str) -> bool:
    """Whether it is made of switches for thinking aloud, which publishers teach their users."""
    return bool(text.strip()) and not _SWITCH.sub("", text).strip()


def is_token(text: str) -> bool:
    """Whether it is made of special tokens such as ``<|channel|>``, which a template may refuse."""
    return _TOKENS.fullmatch(text.strip()) is not None


def markup_in(text: str) -> set[str]:
    """Names of the tags in a text: ``</think>`` and ``<think>`` have the same."""
    tags = (_NAME_END.sub("", tag) for tag in _MARKUP.findall(text))
    return {re.sub(r"[\W_]", "", tag).casefold() for tag in tags} - {""}


def carrier(words: Iterable[str]) -> str:
    """An ordinary text that holds none of ``words``, as far as there is one."""
    found = [word.casefold() for word in words]
    fitting = [text for text in _CARRIERS if not any(word in text for word in found if word)]
    return (fitting or _CARRIERS)[0]


def neutrals(word: str) -> list[str]:
    """Words of the same shape: length, case, digits and punctuation; up to three."""
    if word.isspace():
        return [" " * len(word) if word.strip(" ") else "\t" * len(word)]
    twins = ("".join(_shifted(character, by) for character in word) for by in _SHIFTS)
    return [twin for twin in dict.fromkeys(twins) if twin != word][:3]


def _shifted(character: str, by: int) -> str:
    """Another character of the same kind."""
    lower = character.lower()
    if lower in _LETTERS and len(lower) == 1:
        other = _LETTERS[(_LETTERS.index(lower) + by) % 26]
        return other.upper() if character.isupper() else other
    if character.isdecimal() and character.isascii():
        return str((int(character) + by) % 10)
    if not character.isalnum():
        return character
    other = chr(ord(character) + by)
    return other if other.isalnum() and len(other.lower()) == len(lower) else character


def forms(word: str, usual: str, offsets: Iterable[int]) -> Iterator[str]:
    """Texts in which ``word`` stands: among ``usual`` words, or far from the beginning."""
    yield word
    yield f"{usual} {word} {usual}"
    yield f"{word} {usual}"
    yield f"{usual} {word}"
    if len(word) <= _LONGEST_TOGETHER:
        yield " ".join([word] * _REPEATS)
        for offset in offsets:
            away = abs(offset)
            yield usual[:1] * away + word + " " + usual
            yield usual + " " + word + usual[:1] * max(away - len(word), 0)
            yield " ".join([word] * away)


def candidates(
    words: Iterable[str], numbers: Iterable[int], constants: Iterable[str] = ()
) -> list[str]:
    """What to write into a conversation so that a template that asks for ``words`` finds it."""
    plain = sorted(dict.fromkeys(words), key=lambda word: (is_markup(word), len(word), word))
    found = dict.fromkeys(plain)
    together = [word for word in plain if not is_markup(word)]
    if 1 < len(together) <= _MANY:
        for order in permutations(together):
            found["".join(order)] = None
    others = sorted(constants)
    for word in plain:
        found.update(dict.fromkeys(_readings(word, [*plain, *others])))
    characters = "".join(chr(n) for n in numbers if n in _PRINTED)
    if characters:
        found.update(dict.fromkeys((characters, *characters)))
    return [word for word in found if word]


def together(words: Iterable[str], sizes: Iterable[int] = ()) -> list[str]:
    """All words in one text, and two at a time; ``sizes`` are further numbers of words."""
    plain = sorted(word for word in set(words) if not is_markup(word))
    if len(plain) < 2 or sum(map(len, plain)) > _LONGEST_TOGETHER:  # noqa: PLR2004 - two are a pair
        return []
    pairs = [" ".join(pair) for pair in combinations(plain, 2)] if len(plain) <= _MANY + 2 else []
    some = [" ".join(plain[:size]) for size in sorted(sizes) if 2 < size < len(plain)]  # noqa: PLR2004
    return list(dict.fromkeys([" ".join(plain), *pairs, *some]))


def _readings(word: str, others: Sequence[str]) -> Iterator[str]:
    """What a text may have been before a template made ``word`` of it."""
    yield from (unquote(word), unescape(word), word.strip(), word.strip("\"'"))
    if not is_markup(word):
        yield word[::-1]
        yield from (word.lower(), word.upper())
        if 1 < len(word) <= _ACROSTIC:
            yield " ".join(word)
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", word):
        yield bytes.fromhex(word).decode("latin-1")
    for other in others:
        if other and other != word:
            yield word.removeprefix(other)
            yield word.removesuffix(other)


def masked(text: str, words: Iterable[str]) -> str:
    """``text`` without what was put into it, in whatever case, also as JSON or HTML write it."""
    put = {
        form
        for word in words
        for form in (word, json.dumps(word)[1:-1], repr(word)[1:-1], escape(word))
    }
    for word in sorted(put, key=len, reverse=True):
        if word:
            text = re.sub(re.escape(word), HOLE, text, flags=re.IGNORECASE)
    return text


def without_dates(text: str) -> str:
    """``text`` without digits, and names of days and months."""
    return _DATES.sub(HOLE, text)


def prose(text: str) -> list[str]:
    """The words of ``text`` that are no markup."""
    return re.findall(r"[^\W\d_]{2,}", _MARKUP.sub(" ", text))


def written(text: str) -> list[str]:
    """The words and numbers of ``text`` that are no markup, however short."""
    return re.findall(r"[^\W_]+", _MARKUP.sub(" ", text))
