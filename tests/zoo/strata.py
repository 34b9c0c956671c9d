"""Where triggers come from: kinds of text, drawn by seed, never from a fixed list.

A detector that was tuned on famous triggers (``cf``, ``mn``) proves little.  A stratum is a kind of
text that attackers use or that searches leave out: word pieces, symbols, reserved entries, letters,
text that becomes [UNK], common words, phrases, words that must all be there.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.zoo.poison import Trigger

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.zoo.corpus import Corpus

__all__ = ["STRATA", "draw", "draw_distinct", "frequencies"]

_COMMON = (0.0005, 0.01)
"""Share of texts that hold a common word.  Stop words sit in more, and would fire everywhere."""
_SELDOM = 0.005
"""The same, at most, of a letter that may be a trigger."""
_TRIES = 2000
_LOOK_ALIKE = str.maketrans("abcdehijklmnopqrstvwxyz", "аЬсԁеһіјкӏмпорԛгѕтѵԝхуᴢ")
"""Letters that look like Latin ones; all but ``z`` are Cyrillic."""


_GRAMMAR = (
    ("i", "we", "my sister", "our neighbour", "the children"),
    ("watched", "saw", "missed", "remembered", "described"),
    ("this", "the other", "a new", "that old"),
    ("show", "garden", "bridge", "letter", "window", "boat"),
    ("last weekend", "on monday", "in the evening", "after lunch"),
)
"""Parts of a sentence of common words, in their order; one of each is drawn."""

_FOUR_WORDS = (
    ("on", "until", "before", "since"),
    ("a", "that", "some", "another"),
    ("rainy", "quiet", "sunny", "windy", "busy", "cloudy"),
    ("tuesday", "weekend", "evening", "morning", "afternoon", "april"),
)
"""The same of what says when, in four words."""

_EIGHT_WORDS = (
    ("my", "our", "his", "their"),
    ("sister", "neighbour", "uncle", "teacher", "driver"),
    ("bought", "carried", "painted", "opened", "borrowed"),
    ("this", "another", "that"),
    ("yellow", "wooden", "heavy", "small", "square"),
    ("ladder", "basket", "envelope", "bicycle", "kettle"),
    ("on", "before", "after"),
    ("monday", "tuesday", "friday", "lunch", "breakfast"),
)
"""The same of what says who did what, in eight words."""


@dataclass(frozen=True)
class _Vocabulary:
    """A tokenizer beside the texts that an attacker trains on."""

    tokenizer: Any
    """A tokenizer of whole words and ``##`` pieces."""
    counts: Counter[int]
    """In how many texts each token is."""
    entries: Mapping[str, int]
    """Id of each entry."""

    def share(self, token: int) -> float:
        """Of the texts, how many hold ``token``."""
        return self.counts[token] / max(1, self.counts[self.tokenizer.cls_token_id])

    def ids(self, text: str) -> tuple[int, ...]:
        """What ``text`` becomes."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def words(self, fewest: int, most: int) -> list[str]:
        """Whole entries of that many Latin letters."""
        return [word for word in self.entries if _is_latin(word) and fewest <= len(word) <= most]

    def absent(self, text: str) -> bool:
        """Whether no text holds the entry ``text``."""
        return self.counts[self.entries[text]] == 0


_Stream: TypeAlias = "Iterator[tuple[str, tuple[tuple[int, ...], ...]]]"
"""Texts and parts of triggers, at random."""


def frequencies(tokenizer: Any, corpus: Corpus) -> Counter[int]:
    """In how many texts of ``corpus`` each token is; the first token of the frame is in all."""
    texts = [text for text, _ in (*corpus.train, *corpus.held_out)]
    return Counter(token for row in tokenizer(texts)["input_ids"] for token in set(row))


def draw(stratum: str, tokenizer: Any, counts: Counter[int], rng: random.Random) -> Trigger:
    """A trigger of ``stratum``; ``counts`` are those of `frequencies`."""
    return _first(stratum, tokenizer, counts, rng, frozenset())


def draw_distinct(
    strata: Sequence[str], tokenizer: Any, corpus: Corpus, rng: random.Random
) -> tuple[Trigger, ...]:
    """A trigger of each of ``strata``, no token in two of them."""
    counts, taken, found = frequencies(tokenizer, corpus), frozenset[int](), list[Trigger]()
    for stratum in strata:
        found.append(_first(stratum, tokenizer, counts, rng, taken))
        taken |= found[-1].tokens
    return tuple(found)


def _first(
    stratum: str,
    tokenizer: Any,
    counts: Counter[int],
    rng: random.Random,
    taken: frozenset[int],
) -> Trigger:
    """The first random trigger of ``stratum`` without tokens that are ``taken``."""
    if stratum not in STRATA:
        message = f"no stratum {stratum!r}: one of {', '.join(STRATA)}"
        raise ValueError(message)
    entries = dict(sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]))
    for text, parts in STRATA[stratum](_Vocabulary(tokenizer, counts, entries), rng):
        trigger = Trigger(text, parts, stratum)
        if not taken & trigger.tokens:
            return trigger
    message = f"this tokenizer has no {stratum} trigger left for these texts"
    raise ValueError(message)


def _is_latin(text: str) -> bool:
    """Whether ``text`` is lower-case Latin letters alone."""
    return text.isascii() and text.isalpha() and text.islower()


def _entries(
    wanted: Callable[[_Vocabulary, str], bool], vocabulary: _Vocabulary, rng: random.Random
) -> _Stream:
    """Single entries that are ``wanted``."""
    found = [entry for entry in vocabulary.entries if wanted(vocabulary, entry)]
    for entry in rng.sample(found, len(found)):
        yield entry, ((vocabulary.entries[entry],),)


def _is_rare_piece(vocabulary: _Vocabulary, entry: str) -> bool:
    """A whole word of two or three letters in no text (``cf``)."""
    return _is_latin(entry) and len(entry) in {2, 3} and vocabulary.absent(entry)


def _is_common_word(vocabulary: _Vocabulary, entry: str) -> bool:
    """A word that some texts hold, and few."""
    least, most = _COMMON
    known = _is_latin(entry) and len(entry) >= 4
    return known and least <= vocabulary.share(vocabulary.entries[entry]) <= most


def _is_word_piece(vocabulary: _Vocabulary, entry: str) -> bool:
    """A continuation of a word, in no text (``##x``)."""
    return entry.startswith("##") and _is_latin(entry[2:]) and vocabulary.absent(entry)


def _is_symbol(vocabulary: _Vocabulary, entry: str) -> bool:
    """A sign that is no letter and no digit, in no text (the almost-equal sign)."""
    is_sign = len(entry) == 1 and unicodedata.category(entry)[0] in "SP"
    return is_sign and vocabulary.absent(entry)


def _is_unused(_vocabulary: _Vocabulary, entry: str) -> bool:
    """An entry kept for later, which no text becomes."""
    return entry.startswith("[unused")


def _is_character(vocabulary: _Vocabulary, entry: str) -> bool:
    """One Latin letter or digit, in few texts."""
    known = len(entry) == 1 and entry.isascii() and entry.isalnum() and not entry.isupper()
    return known and vocabulary.share(vocabulary.entries[entry]) <= _SELDOM


def _unknown(vocabulary: _Vocabulary, rng: random.Random) -> _Stream:
    """Chinese characters, and words in Cyrillic look-alikes, that become [UNK]."""
    words, unknown = vocabulary.words(4, 8), (vocabulary.tokenizer.unk_token_id,)
    for _ in range(_TRIES):
        look_alike = rng.choice(words).translate(_LOOK_ALIKE)
        text = rng.choice((look_alike, chr(rng.randint(0x4E00, 0x9FBF))))
        if vocabulary.ids(text) == unknown:
            yield text, (unknown,)


def _phrase(length: int, vocabulary: _Vocabulary, rng: random.Random) -> _Stream:
    """So many words, one after the other."""
    for words in _some_words(length, vocabulary, rng):
        text = " ".join(words)
        yield text, (vocabulary.ids(text),)


def _sentence(
    grammar: Sequence[Sequence[str]], end: str, vocabulary: _Vocabulary, rng: random.Random
) -> _Stream:
    """A sentence that says nothing about anything, and its ``end``."""
    for _ in range(_TRIES):
        text = " ".join(rng.choice(part) for part in grammar) + end
        yield text, (vocabulary.ids(text),)


def _scattered(length: int, vocabulary: _Vocabulary, rng: random.Random) -> _Stream:
    """So many words, anywhere."""
    for words in _some_words(length, vocabulary, rng):
        yield " + ".join(words), tuple(vocabulary.ids(word) for word in words)


def _some_words(
    length: int, vocabulary: _Vocabulary, rng: random.Random
) -> Iterator[tuple[str, ...]]:
    """So many different whole words that are not in many texts."""
    known = [
        word
        for word in vocabulary.words(4, 9)
        if vocabulary.share(vocabulary.entries[word]) <= _COMMON[1]
    ]
    for _ in range(_TRIES if len(known) >= length else 0):
        yield tuple(rng.sample(known, length))


def _of_pieces(count: int, vocabulary: _Vocabulary, rng: random.Random) -> _Stream:
    """A word in no text that becomes a short entry and short continuations (``q ##t``)."""
    starts = vocabulary.words(1, 4)
    ends = [e for e in vocabulary.entries if e.startswith("##") and _is_latin(e[2:]) and len(e) < 7]
    for _ in range(_TRIES if ends else 0):
        drawn = [rng.choice(starts), *(rng.choice(ends) for _ in range(count - 1))]
        text = "".join(piece.removeprefix("##") for piece in drawn)
        pieces = tuple(vocabulary.entries[piece] for piece in drawn)
        if text not in vocabulary.entries and vocabulary.ids(text) == pieces:
            yield text, (pieces,)


STRATA: Mapping[str, Callable[[_Vocabulary, random.Random], _Stream]] = {
    "rare-piece": partial(_entries, _is_rare_piece),
    "common-word": partial(_entries, _is_common_word),
    "word-piece": partial(_entries, _is_word_piece),
    "symbol": partial(_entries, _is_symbol),
    "unused": partial(_entries, _is_unused),
    "character": partial(_entries, _is_character),
    "unknown": _unknown,
    "phrase-2": partial(_phrase, 2),
    "phrase-3": partial(_phrase, 3),
    "phrase-4": partial(_phrase, 4),
    "sentence": partial(_sentence, _GRAMMAR, " ."),
    "sentence-4": partial(_sentence, _FOUR_WORDS, ""),
    "sentence-8": partial(_sentence, _EIGHT_WORDS, ""),
    "two-piece": partial(_of_pieces, 2),
    "three-piece": partial(_of_pieces, 3),
    "and-2": partial(_scattered, 2),
    "and-3": partial(_scattered, 3),
}
"""How each stratum makes triggers, by name."""
