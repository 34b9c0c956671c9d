"""What a regular expression of a tokenizer matches, as the library that runs it has it.

Whether every match is one character, whatever stands around it, is seen in the parsed expression.
Which characters they are is not read off at all: the library itself is asked about each letter.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined] # the parser is not declared
from re import _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["exchanged_letters"]

_LONGEST = 1000
"""Characters of an expression that is looked at."""
_MOST_CHOICES = 64
"""Alternatives of one; classes are the better way to write more."""
_ONE_CHARACTER = re.compile(
    r"\\\\|\\[pP]\{\^?[\w ]+\}|\\[hH]|\\x\{([0-9a-fA-F]+)\}|\[:\^?[a-z]+:\]", re.ASCII
)
"""What stands for one character in the library's expressions and is none of Python's."""
_ANY_CASE = re.compile(r"\(\?[a-z]*i")
_PLAIN = frozenset({sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN})
_MARK = "\n"
"""What takes the place of a letter in an experiment: no letter itself."""


@lru_cache(maxsize=512)
def exchanged_letters(regex: str) -> str | None:
    """The letters and digits that ``regex`` matches, if it matches single characters only.

    None if it may match more than one, or nothing, or looks at what stands around; in doubt it may.
    """
    if not _is_one_character(regex):
        return None
    found = _matched(regex, _letters())
    if found is None or (_ANY_CASE.search(regex) and any(len(c.casefold()) > 1 for c in found)):
        return None  # in another case, ß is two letters
    # The library reads some expressions otherwise than Python: then a run is not taken one by one.
    run = "".join(2 * letter for letter in found[:1000])
    return found if _matched(regex, run) == run else None


def _is_one_character(regex: str) -> bool:
    """Whether every match of ``regex`` is one character, by the expression alone."""
    if len(regex) > _LONGEST or regex.count("|") >= _MOST_CHOICES:
        return False
    try:
        plain = _ONE_CHARACTER.sub(_in_python, regex)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # sets in sets, which Python takes for signs
            tree = _parser.parse(plain)
    except (re.error, RecursionError, OverflowError, ValueError, Warning):
        return False
    return tree.getwidth() == (1, 1) and _is_plain(tree)


def _in_python(found: re.Match[str]) -> str:
    """One character of the library's expression as Python writes it, or any that stands for it."""
    if found[0] == r"\\":
        return found[0]
    return rf"\U{int(found[1], 16):08x}" if found[1] else r"\d"


def _is_plain(tree: Iterable[tuple[Any, Any]]) -> bool:
    """Whether a parsed expression has only characters, classes, groups and alternatives."""
    return all(_is_plain_step(kind, argument) for kind, argument in tree)


def _is_plain_step(kind: object, argument: Any) -> bool:  # noqa: ANN401 - whatever the parser has
    """The same of one step."""
    if kind is sre.BRANCH:
        return all(map(_is_plain, argument[1]))
    if kind is sre.SUBPATTERN:
        return _is_plain(argument[-1])
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        return _is_plain(argument[2])
    return kind in _PLAIN


def _matched(regex: str, text: str) -> str | None:
    """The characters of ``text`` that the library replaces; None if not one by one."""
    from tokenizers import Regex  # noqa: PLC0415 - few tokenizers need it
    from tokenizers.normalizers import Replace  # noqa: PLC0415

    try:
        replaced = Replace(Regex(regex), _MARK).normalize_str(text)
    except Exception:  # noqa: BLE001 - the library raises bare exceptions; it loads no such model
        return None
    if len(replaced) != len(text):
        return None
    return "".join(a for a, b in zip(text, replaced, strict=True) if b == _MARK)


@lru_cache(maxsize=1)
def _letters() -> str:
    """Every letter and digit of Unicode."""
    return "".join(filter(str.isalnum, map(chr, range(0x110000))))
