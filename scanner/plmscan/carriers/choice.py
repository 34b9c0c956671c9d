"""In which languages the carriers of a model are: those that its tokenizer spells well.

It is an experiment on the tokenizer; what a config says of its language, or a name, is not read.
Well spelled is what takes few tokens for each word, none of them unknown or half a character.  The
words to divide by are those of the same texts in English: some languages write a sentence in fewer
words, and some without spaces.  A Chinese character counts as a word, since many vocabularies hold
nothing longer.

Code is taken only where every natural language is spelled worse: a vocabulary of English text
spells code as well as one of code does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from plmscan.carriers.carrier import FEWEST, fits, unknown_of
from plmscan.carriers.languages import (
    CODE,
    ENGLISH,
    LANGUAGES,
    PARALLEL,
    bundled_texts,
    mixed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedTokenizerBase

    from plmscan.loading import LoadedModel

__all__ = ["Choice", "Spelling", "chosen", "well_spelled"]

_AS_GOOD = 1.3
"""Tokens a word, relative to the best language, up to which another is spelled as well.

Measured: vocabularies of English need 1.45 (Mistral 7B), 1.47 (BERT) or 1.6 (GPT-2) times as many
for the next language, French.  Of 25 languages Gemma 3 spells 17 within this bar, Qwen 3 five."""
_FEW = 0.1
"""Largest share of tokens that are unknown, or that are half a character."""
_TRIED = 40
"""Lines of each language that are tried, so that it takes a fraction of a second."""
_WORD = r"\p{Han} | [\p{L}\p{M}\p{N}--\p{Han}]+ | [^\s\p{L}\p{M}\p{N}]"
"""A word, a Chinese character or a mark."""
_CODE_WORD = r"\p{Lu}?\p{Ll}+ | \p{Lu}+ | \p{N}+ | [^\s\p{L}\p{N}_]"
"""The same in code, where names are made of several words."""


@dataclass(frozen=True)
class Choice:
    """The carrier texts of a model."""

    texts: tuple[str, ...]
    """The texts."""
    languages: tuple[str, ...]
    """Codes of their languages; empty for those of a user."""
    statement: str
    """Which they are, and why, as a report says it."""


@dataclass(frozen=True)
class Spelling:
    """How a tokenizer writes the bundled texts of one language."""

    language: str
    """Its code."""
    cost: float
    """Tokens for each word, at least 1: nothing is gained by a token for several words."""
    unknown: float
    """Share of the tokens that are unknown, from 0 to 1."""
    halves: float
    """Share of the tokens that are less than a character."""
    fitting: float
    """Share of the texts that can be carriers."""

    @classmethod
    def of(cls, model: LoadedModel, language: str, is_half: Callable[[int], bool]) -> Spelling:
        """What the tokenizer of ``model`` makes of a few texts that every language has."""
        rows = [model.tokenize(text) for text in bundled_texts(language)[:_TRIED]]
        tokens = Counter(token for row in rows for token in row)
        unknown, total = unknown_of(model), max(1, tokens.total())
        return cls(
            language=language,
            cost=max(1.0, total / _words(language)),
            unknown=0.0 if unknown is None else tokens[unknown] / total,
            halves=sum(n for token, n in tokens.items() if is_half(token)) / total,
            fitting=sum(fits(row, unknown) for row in rows) / len(rows),
        )

    @property
    def is_usable(self) -> bool:
        """Whether the model can read these texts."""
        return self.unknown <= _FEW and self.fitting >= FEWEST / PARALLEL


def chosen(model: LoadedModel, given: tuple[str, ...] | None, asked: Sequence[str]) -> Choice:
    """The carrier texts of ``model``: those of the user, or bundled ones in a fitting language.

    Args:
        model: its tokenizer is tried.
        given: texts of the user; None to take bundled ones.
        asked: codes of the languages that the user wants; empty to choose.
    """
    if given is not None:
        return Choice(given, (), f"Carriers are the {len(given)} texts that were given.")
    if asked:
        told = f"Carriers in {_listed(asked)}, as --language asks."
        return Choice(mixed(asked), tuple(asked), told)
    found = well_spelled(model)
    if not found:
        told = "Carriers in English: the tokenizer spells no bundled language well."
        return Choice(bundled_texts(), (ENGLISH,), told)
    languages = tuple(spelling.language for spelling in found)
    return Choice(mixed(languages), languages, _told(found))


def well_spelled(model: LoadedModel) -> list[Spelling]:
    """The languages that the tokenizer of ``model`` spells about as well as the best one."""
    is_half = _half_tokens(model.tokenizer)
    tried = (Spelling.of(model, language, is_half) for language in LANGUAGES)
    usable = [spelling for spelling in tried if spelling.is_usable]
    whole = [spelling for spelling in usable if spelling.halves <= _FEW] or usable
    bar = _AS_GOOD * min((spelling.cost for spelling in whole), default=0.0)
    near = [spelling for spelling in whole if spelling.cost <= bar]
    return [spelling for spelling in near if spelling.language not in CODE] or near


def _half_tokens(tokenizer: PreTrainedTokenizerBase) -> Callable[[int], bool]:
    """Tells of a token whether it is less than a character: a byte of one, or some."""

    @cache
    def is_half(token: int) -> bool:
        return "\N{REPLACEMENT CHARACTER}" in str(tokenizer.decode([token]))

    return is_half


@cache
def _words(language: str) -> int:
    """Words that the texts that are tried are worth in ``language``."""
    # Nobody who reads a configuration needs it.
    import regex  # type: ignore[import-untyped]  # noqa: PLC0415

    pattern = regex.compile(_CODE_WORD if language in CODE else _WORD, regex.V1 | regex.X)
    own = sum(len(pattern.findall(text)) for text in bundled_texts(language)[:_TRIED])
    return own if language in CODE | {ENGLISH} else max(own, _words(ENGLISH))


def _told(found: Sequence[Spelling]) -> str:
    """Which languages were chosen, and why."""
    names = _listed([spelling.language for spelling in found])
    costs = [f"{cost:.2f}" for cost in sorted({round(spelling.cost, 2) for spelling in found})]
    tokens = " to ".join(dict.fromkeys((costs[0], costs[-1])))
    it = "it" if len(found) == 1 else "these"
    why = f"of {len(LANGUAGES)} languages the tokenizer spells {it} best, in {tokens} tokens a word"
    return f"Carriers in {names}: {why}."


def _listed(languages: Sequence[str]) -> str:
    """Names of languages as a sentence has them."""
    *most, last = (LANGUAGES[language] for language in languages)
    return f"{', '.join(most)} and {last}" if most else last
