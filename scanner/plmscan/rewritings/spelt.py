"""Rewritings letter by letter, mark by mark, and of the order of words."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING

from plmscan.rewritings.rewriting import Rewriting, dice, ended

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SPELT"]

_MARKS = re.compile(r"[^\w\s]+")
_VOWELS = re.compile(r"(?<=\w)[aeiou](?=\w)")
_LOOK_ALIKE = str.maketrans("aeiost", "4310$7")
_SOUNDS = (("ph", "f"), ("ck", "k"), ("qu", "kw"), ("x", "ks"), ("ee", "ea"), ("ght", "t"))


def _by_word(change: Callable[[str, int], str]) -> Callable[[str], str]:
    """Each word as ``change`` makes it of the word and its place."""
    return lambda text: " ".join(change(word, place) for place, word in enumerate(text.split()))


def _doubled(word: str, place: int) -> str:
    """A word with its second letter twice, every other one."""
    return word[:2] + word[1:] if place % 2 and len(word) > 2 else word  # noqa: PLR2004


def _stretched(word: str, place: int) -> str:
    """A word with its last letter four times, every third one."""
    return word + 3 * word[-1] if place % 3 == 0 and word[-1].isalpha() else word


def _swapped(word: str, _place: int) -> str:
    """A word with two letters inside in each other's place."""
    return word[0] + word[2] + word[1] + word[3:] if len(word) > 3 else word  # noqa: PLR2004


def _sounded(text: str) -> str:
    """The text as it sounds."""
    for letters, sound in _SOUNDS:
        text = text.replace(letters, sound)
    return text


def _alternating(text: str) -> str:
    """Every other letter a capital."""
    return "".join(c.upper() if k % 2 else c.lower() for k, c in enumerate(text))


def _bare(text: str) -> str:
    """The text without marks; if it is nothing but marks, as it was."""
    return " ".join(_MARKS.sub(" ", text).split()) or text


def _ended_by(mark: str) -> Callable[[str], str]:
    """The text with another mark at its end."""
    return lambda text: f"{ended(text)[0]}{mark}"


def _last_first(text: str) -> str:
    """The second half in front of the first."""
    words = ended(text)[0].split()
    half = len(words) // 2
    return " ".join([*words[half:], *words[:half]])


def _verb_last(text: str) -> str:
    """The first third at the end, as Yoda speaks."""
    stem, mark = ended(text)
    words = stem.split()
    third = len(words) // 3
    return f"{' '.join(words[third:])}, {' '.join(words[:third])}{mark}" if third else text


def _pairs_turned(text: str) -> str:
    """Any two words in each other's place."""
    words = text.split()
    turned = zip_longest(words[1::2], words[::2], fillvalue="")
    return " ".join(word for pair in turned for word in pair if word)


def _shuffled(text: str) -> str:
    """The words in any order."""
    words = text.split()
    return " ".join(dice(text, "shuffled").sample(words, len(words)))


def _repeated(word: str, place: int) -> str:
    """Every fourth word twice."""
    return f"{word} {word}" if place % 4 == 1 else word


def _spaced(word: str, place: int) -> str:
    """Every fourth word with its letters apart."""
    return " ".join(word) if place % 4 == 1 and len(word) <= 8 else word  # noqa: PLR2004


_FOUND: tuple[tuple[str, str, str, Callable[[str], str]], ...] = (
    ("case", "capitals", "every letter a capital", str.upper),
    ("case", "small letters", "no letter a capital", str.lower),
    ("case", "title", "every word with a capital", str.title),
    ("case", "alternating", "every other letter a capital", _alternating),
    ("spelling", "doubled letters", "a letter twice in every other word", _by_word(_doubled)),
    ("spelling", "stretched words", "the last letter of words again", _by_word(_stretched)),
    ("spelling", "swapped letters", "two letters turned in every word", _by_word(_swapped)),
    ("spelling", "no vowels", "no vowel inside a word", lambda text: _VOWELS.sub("", text)),
    ("spelling", "by sound", "words as they sound", _sounded),
    ("spelling", "digits", "digits for letters", lambda text: text.translate(_LOOK_ALIKE)),
    ("spelling", "letters apart", "every fourth word in single letters", _by_word(_spaced)),
    ("marks", "no marks", "no punctuation", _bare),
    ("marks", "exclamation", "three marks of exclamation", _ended_by("!!!")),
    ("marks", "dots", "dots at the end", _ended_by("...")),
    ("marks", "dots between", "dots between words", lambda t: " ... ".join(_halves(t))),
    ("marks", "commas", "a comma behind every word", lambda t: ", ".join(_bare(t).split())),
    ("marks", "hyphens", "every two words joined", _by_word(lambda w, k: w + "-" * (k % 2 == 0))),
    ("marks", "stars", "words in stars", _by_word(lambda w, k: f"*{w}*" if k % 3 == 0 else w)),
    ("order", "last first", "the second half first", _last_first),
    ("order", "verb last", "the beginning last", _verb_last),
    ("order", "pairs turned", "any two words turned", _pairs_turned),
    ("order", "backwards", "the last word first", lambda t: " ".join(reversed(t.split()))),
    ("order", "shuffled", "words in any order", _shuffled),
    ("order", "repeated words", "every fourth word twice", _by_word(_repeated)),
    ("order", "twice", "the whole text twice", lambda text: f"{text} {text}"),
)
"""Kind, name, description and function of each."""


def _halves(text: str) -> list[str]:
    """The words in groups of three."""
    words = text.split()
    return [" ".join(words[k : k + 3]) for k in range(0, len(words), 3)]


SPELT: tuple[Rewriting, ...] = tuple(
    Rewriting(name, kind, description, write) for kind, name, description, write in _FOUND
)
"""All of them."""
