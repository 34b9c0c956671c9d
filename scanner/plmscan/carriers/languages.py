"""The bundled texts: one file a language, one text a line.

Line k says the same in every natural language, so what a tokenizer makes of them can be compared.
Code says nothing that could be translated; its lines belong together in nothing.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from plmscan.errors import TextsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["CODE", "ENGLISH", "LANGUAGES", "PARALLEL", "bundled_texts", "known_languages", "mixed"]

LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic",
    "bn": "Bengali",
    "cs": "Czech",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "java": "Java",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "python": "Python",
    "ru": "Russian",
    "sql": "SQL",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""Code (ISO 639-1 but for source code) and name of every language that there are texts in."""
CODE = frozenset({"java", "python", "sql"})
"""Those that are source code."""
ENGLISH = "en"
"""The language of old: it has the most texts, and is taken where none is spelled well."""
PARALLEL = 120
"""Lines that every language has."""
_ROUNDS = 2
"""Times that a mix goes through the lines: about as many texts then as there are in English."""


@cache
def bundled_texts(language: str = ENGLISH) -> tuple[str, ...]:
    """The short neutral texts in ``language``, one of `LANGUAGES`, that ship with plmscan."""
    file = resources.files("plmscan.carriers") / f"{language}.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines())


def mixed(languages: Sequence[str]) -> tuple[str, ...]:
    """Texts in ``languages``, drawn evenly: of one all, else line by line the next one's."""
    if len(languages) == 1:
        return bundled_texts(languages[0])
    texts = [bundled_texts(language) for language in languages]
    places = ((turn, line) for turn in range(_ROUNDS) for line in range(PARALLEL))
    return tuple(texts[(line + turn) % len(texts)][line] for turn, line in places)


def known_languages(words: Iterable[str]) -> tuple[str, ...]:
    """Codes of languages, each once, as a person wrote them: some words may hold several.

    Raises:
        TextsError: there are no texts in one of them.
    """
    codes = [code.strip().lower() for word in words for code in word.split(",")]
    for code in codes:
        if code not in LANGUAGES:
            msg = f"There are no carrier texts in {code!r}."
            raise TextsError(msg, f"There are some in {', '.join(LANGUAGES)}.")
    return tuple(dict.fromkeys(codes))
