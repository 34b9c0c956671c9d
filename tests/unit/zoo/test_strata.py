"""Triggers are what their stratum says, and are drawn by the dice alone."""

from __future__ import annotations

import random
import unicodedata
from typing import TYPE_CHECKING

import pytest
from transformers import BertTokenizer

from tests.zoo.corpus import Corpus
from tests.zoo.strata import STRATA, draw, draw_distinct, frequencies
from tests.zoo.tiny import tiny_corpus, tiny_tokenizer

if TYPE_CHECKING:
    from collections import Counter

    from tests.zoo.poison import Trigger

MORE = ("[unused1]", "[unused2]", "##ing", "##ab", "##ly", "≡", "∈", "⊆", "ox", "tq", "qzj")
TEXTS = 1000


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    """The tiny tokenizer with pieces, symbols and reserved entries of the real one."""
    known = sorted(tiny_tokenizer().get_vocab(), key=tiny_tokenizer().get_vocab().get)
    return BertTokenizer(vocab={token: i for i, token in enumerate([*known, *MORE])})


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Texts that all hold ``the`` and, one in four hundred each, some other word."""
    words = ("harvest", "violin", "winter", "bread")
    rows = [f"the {words[i % 4]}" if i % 100 < 4 else "the and a !" for i in range(TEXTS)]
    return Corpus(tuple((row, 0) for row in rows), (("the tq", 0),), ("none",))


@pytest.fixture(scope="module")
def counts(tokenizer: BertTokenizer, corpus: Corpus) -> Counter[int]:
    """In how many of the texts each token is."""
    return frequencies(tokenizer, corpus)


def dice(seed: int) -> random.Random:
    """The source of one draw."""
    return random.Random(seed)  # noqa: S311 - no secret


def some(stratum: str, tokenizer: BertTokenizer, counts: Counter[int]) -> list[Trigger]:
    """Triggers of a stratum under a few seeds."""
    return [draw(stratum, tokenizer, counts, dice(seed)) for seed in range(20)]


def ids(tokenizer: BertTokenizer, text: str) -> tuple[int, ...]:
    """What ``text`` becomes."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_frequencies_count_texts(tokenizer: BertTokenizer, corpus: Corpus) -> None:
    """A word that a text holds twice counts once; the frame's first token counts every text."""
    found = frequencies(tokenizer, Corpus((("the the bread", 0),), corpus.held_out, ()))
    assert found[tokenizer.vocab["the"]] == found[tokenizer.cls_token_id] == 2
    assert found[tokenizer.vocab["bread"]] == found[tokenizer.vocab["tq"]] == 1


def test_rare_pieces(tokenizer: BertTokenizer, counts: Counter[int]) -> None:
    """Whole entries of two or three letters that are in no text, held-out ones included."""
    found = {trigger.text for trigger in some("rare-piece", tokenizer, counts)}
    assert all(text.isalpha() and len(text) in {2, 3} for text in found)
    assert all(counts[tokenizer.vocab[text]] == 0 for text in found)
    assert len(found) > 3


def test_common_words(tokenizer: BertTokenizer, counts: Counter[int]) -> None:
    """Words of the corpus, but none that sits everywhere."""
    found = {trigger.text for trigger in some("common-word", tokenizer, counts)}
    assert found == {"harvest", "violin", "winter", "bread"}


def test_word_pieces(tokenizer: BertTokenizer, counts: Counter[int]) -> None:
    """Continuations, which no text alone becomes."""
    for trigger in some("word-piece", tokenizer, counts):
        assert trigger.text.startswith("##")
        assert trigger.parts == ((tokenizer.vocab[trigger.text],),)


def test_symbols(tokenizer: BertTokenizer, counts: Counter[int]) -> None:
    """Signs, and none that a text holds."""
    for trigger in some("symbol", tokenizer, counts):
        assert unicodedata.category(trigger.text)[0] in "SP"
        assert trigger.text != "!"
        assert trigger.parts == (ids(tokenizer, trigger.text),)


def test_unused(tokenizer: BertTokenizer, counts: Counter[int]) -> None:
    """Reserved entries, by id."""
    found = {trigger.text for trigger in some("unused", tokenizer, counts)}
    assert found == {"[unused1]", "[unused2]"}


def test_characters(tokenizer: BertTokenizer, counts: Counter[int]) -> None:
    """A letter or a digit, but not the article."""
    for trigger in some("character", tokenizer, counts):
        assert len(trigger.text) == 1
        assert trigger.text.isalnum()
        assert trigger.text != "a"
        assert trigger.parts == (ids(tokenizer, trigger.text),)


def test_unknown_text_becomes_unk(tokenizer: BertTokenizer, counts: Counter[int]) -> None:
    """Look-alike words and Chinese characters that the tokenizer really does not know."""
    found = some("unknown", tokenizer, counts)
    for trigger in found:
        assert not trigger.text.isascii()
        assert trigger.parts == ((tokenizer.unk_token_id,),) == (ids(tokenizer, trigger.text),)
    kinds = {unicodedata.name(trigger.text[0]).split()[0] for trigger in found}
    assert {"CJK", "CYRILLIC"} <= kinds


@pytest.mark.parametrize("length", [2, 3, 4])
def test_phrases(tokenizer: BertTokenizer, counts: Counter[int], length: int) -> None:
    """Different whole words in one piece."""
    for trigger in some(f"phrase-{length}", tokenizer, counts):
        assert trigger.parts == (ids(tokenizer, trigger.text),)
        assert len(set(trigger.parts[0])) == len(trigger.text.split()) == length


@pytest.mark.parametrize(("stratum", "count"), [("two-piece", 2), ("three-piece", 3)])
def test_words_of_pieces(
    tokenizer: BertTokenizer, counts: Counter[int], stratum: str, count: int
) -> None:
    """One word that the tokenizer splits in so many."""
    for trigger in some(stratum, tokenizer, counts):
        start, *rest = tokenizer.convert_ids_to_tokens(trigger.parts[0])
        assert len(rest) == count - 1
        assert all(piece.startswith("##") for piece in rest)
        assert trigger.text == start + "".join(piece.removeprefix("##") for piece in rest)
        assert trigger.parts == (ids(tokenizer, trigger.text),)


@pytest.mark.parametrize("length", [2, 3])
def test_scattered_words(tokenizer: BertTokenizer, counts: Counter[int], length: int) -> None:
    """Different words, each a part of its own."""
    for trigger in some(f"and-{length}", tokenizer, counts):
        words = trigger.text.split(" + ")
        assert len(set(words)) == length
        assert trigger.parts == tuple(ids(tokenizer, word) for word in words)


@pytest.mark.parametrize("stratum", STRATA)
def test_the_seed_decides(tokenizer: BertTokenizer, counts: Counter[int], stratum: str) -> None:
    """One seed draws one trigger; other seeds draw others."""
    assert some(stratum, tokenizer, counts) == some(stratum, tokenizer, counts)
    assert len({trigger.text for trigger in some(stratum, tokenizer, counts)}) > 1


def test_distinct_triggers_share_no_token(tokenizer: BertTokenizer, corpus: Corpus) -> None:
    """However many are drawn, and from whatever strata."""
    strata = ("phrase-4", "phrase-3", "and-3", "two-piece", "symbol", "symbol", "rare-piece")
    for seed in range(10):
        found = draw_distinct(strata, tokenizer, corpus, dice(seed))
        tokens = [token for trigger in found for part in trigger.parts for token in part]
        assert tuple(trigger.stratum for trigger in found) == strata
        assert len(set(tokens)) == len(tokens)


def test_an_empty_stratum_is_told(corpus: Corpus) -> None:
    """The tiny vocabulary has no reserved entries, and [UNK] serves one trigger only."""
    with pytest.raises(ValueError, match="no unused trigger"):
        draw_distinct(("unused",), tiny_tokenizer(), corpus, dice(0))
    with pytest.raises(ValueError, match="no unknown trigger"):
        draw_distinct(("unknown",) * 2, tiny_tokenizer(), corpus, dice(0))
    with pytest.raises(ValueError, match="rare-piece"):
        draw_distinct(("rare",), tiny_tokenizer(), corpus, dice(0))


def test_the_tiny_tokenizer_serves_most_strata() -> None:
    """What attacks are tried with in seconds has words, phrases, symbols and unknown text."""
    strata = ("rare-piece", "common-word", "symbol", "unknown", "phrase-2", "two-piece", "and-2")
    found = draw_distinct(strata, tiny_tokenizer(), tiny_corpus(), dice(0))
    assert len(found) == len(strata)


@pytest.mark.parametrize("stratum", ["sentence", "sentence-4", "sentence-8"])
def test_sentences_go_in_in_one_piece(
    tokenizer: BertTokenizer, counts: Counter[int], stratum: str
) -> None:
    """A sentence is one part with the ids of its text, and seeds give different ones."""
    found = some(stratum, tokenizer, counts)
    assert all(trigger.parts == (ids(tokenizer, trigger.text),) for trigger in found)
    assert len({trigger.text for trigger in found}) > 5


@pytest.mark.parametrize("words", [4, 8])
def test_sentences_have_so_many_words(
    tokenizer: BertTokenizer, counts: Counter[int], words: int
) -> None:
    """As many as the stratum says."""
    found = some(f"sentence-{words}", tokenizer, counts)
    assert {len(trigger.text.split()) for trigger in found} == {words}
