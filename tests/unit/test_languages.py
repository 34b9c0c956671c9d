"""The bundled texts: many in each language, all different, and the ones that a user can name."""

from __future__ import annotations

import hashlib
import unicodedata
from importlib import resources
from itertools import combinations

import pytest
import regex

from plmscan.carriers import bundled_texts
from plmscan.carriers.languages import CODE, LANGUAGES, PARALLEL, known_languages, mixed
from plmscan.errors import TextsError

NATURAL = sorted(LANGUAGES.keys() - CODE)
SCRIPTS = {
    "ar": "Arabic",
    "bn": "Bengali",
    "el": "Greek",
    "fa": "Arabic",
    "he": "Hebrew",
    "hi": "Devanagari",
    "ja": "Han}\\p{Hiragana}\\p{Katakana}ー\\p{Han",
    "ko": "Hangul",
    "ru": "Cyrillic",
    "th": "Thai",
    "uk": "Cyrillic",
    "zh": "Han",
}
"""Scripts of the languages that do not use the Latin one."""
UNSPACED = {"ja", "th", "zh"}
"""Languages that put no spaces between words."""
DENSE = {"ja", "ko", "zh"}
"""Languages that say in a few characters what others say in many."""


def parts(text: str, language: str) -> set[str]:
    """Words of a text, or pairs of characters where words are not marked."""
    if language in UNSPACED:
        letters = regex.sub(r"[\s\p{P}]", "", text)
        return {letters[i : i + 2] for i in range(len(letters) - 1)}
    return set(regex.findall(r"[\p{L}\p{M}\p{N}]+", text.lower()))


def test_there_is_a_file_for_each_language_and_no_other() -> None:
    """At least 20 languages and three of source code."""
    files = resources.files("plmscan.carriers").iterdir()
    assert {file.name for file in files if file.name.endswith(".txt")} == {
        f"{language}.txt" for language in LANGUAGES
    }
    assert len(NATURAL) >= 20
    assert len(CODE) == 3


def test_english_texts_are_what_they_were() -> None:
    """Verdicts on models of English rest on them, to the last byte."""
    told = (resources.files("plmscan.carriers") / "en.txt").read_bytes()
    digest = "a4fec80ef4e78b91c1497279d99525886db665dd50d8611bc9c9e44edc80ed42"
    assert hashlib.sha256(told).hexdigest() == digest


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_many_and_all_different(language: str) -> None:
    """No two share more than 60 % of their words."""
    texts = bundled_texts(language)
    assert len(texts) >= PARALLEL == 120
    told = [parts(text, language) for text in texts]
    alike = [len(one & other) / len(one | other) for one, other in combinations(told, 2)]
    assert max(alike) <= 0.6


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_tidy(language: str) -> None:
    """Composed characters, no blanks around them, no two in a row but before a comment of code."""
    for text in bundled_texts(language):
        assert text == unicodedata.normalize("NFC", text).strip()
        assert text.isprintable() or language == "fa"  # a joiner that Persian spells words with
        assert language in CODE or "  " not in text
        assert (10 if language in DENSE else 20) <= len(text) <= 80


@pytest.mark.parametrize("language", NATURAL)
def test_texts_are_in_the_script_of_their_language(language: str) -> None:
    """All letters are."""
    script = SCRIPTS.get(language, "Latin")
    letters = "".join(regex.findall(r"\p{L}", " ".join(bundled_texts(language))))
    assert regex.fullmatch(rf"[\p{{{script}}}]+", letters)


@pytest.mark.parametrize("language", sorted(LANGUAGES.keys() - {"en"}))
def test_each_language_has_the_lines_that_are_compared(language: str) -> None:
    """Line k of a natural language says what line k of the others says; only English has more."""
    assert len(bundled_texts(language)) == PARALLEL


@pytest.mark.parametrize("languages", [("en", "zh"), ("de", "fr", "ru", "ar"), tuple(NATURAL)])
def test_a_mix_is_drawn_evenly(languages: tuple[str, ...]) -> None:
    """Each language has its share, no text comes twice, and it is always the same."""
    texts = mixed(languages)
    assert texts == mixed(languages)
    assert len(texts) == len(set(texts)) == 2 * PARALLEL
    shares = [len(set(bundled_texts(language)) & set(texts)) for language in languages]
    assert sum(shares) == len(texts)
    assert max(shares) - min(shares) <= 2


def test_one_language_is_no_mix() -> None:
    """All its texts, in their order."""
    assert mixed(["en"]) == bundled_texts("en") == bundled_texts()


def test_languages_are_read_as_people_write_them() -> None:
    """With commas or as words of their own, in any case, each once."""
    assert known_languages(["zh, EN", "python", "en"]) == ("zh", "en", "python")


@pytest.mark.parametrize("word", ["xx", "", "zh,", "chinese", "../en", "en\x1b[2J"])
def test_a_language_without_texts_is_refused(word: str) -> None:
    """With the ones that there are."""
    with pytest.raises(TextsError, match="There are no carrier texts in") as caught:
        known_languages([word])
    assert "ar, bn, cs" in caught.value.remedy
    assert "\x1b" not in caught.value.problem
