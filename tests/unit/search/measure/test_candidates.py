"""What can be typed, and how it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from plmscan.loading import LoadedModel, load
from plmscan.loading.quiet import quiet
from plmscan.search.measure.candidates import (
    ids_of,
    random_items,
    retokenizes,
    searchable_ids,
    text_of,
    whole_words,
)
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Build = Callable[[str], LoadedModel]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds the tiny model of a family."""
    return lambda family: load(artifact_of(build_tiny(family, tmp_path_factory.mktemp("m"))), "cpu")


@pytest.mark.parametrize(
    ("family", "frame"),
    [
        ("bert", {"[CLS]", "[SEP]", "[PAD]", "[MASK]"}),
        ("roberta", {"<s>", "</s>", "<pad>", "<mask>"}),
        ("xlnet", {"<cls>", "<sep>", "<pad>", "<mask>"}),
        ("gpt2", {"<|endoftext|>"}),
    ],
)
def test_all_but_the_frame_is_searched(tiny: Build, family: str, frame: set[str]) -> None:
    """Every entry of the vocabulary but those that frame, pad or mask; the unknown token stays."""
    model = tiny(family)
    vocabulary = model.tokenizer.get_vocab()
    wanted = sorted(i for token, i in vocabulary.items() if token not in frame)
    assert searchable_ids(model).tolist() == wanted
    if family != "gpt2":
        assert model.tokenizer.unk_token_id in wanted


def test_only_ids_with_a_row_are_searched(tiny: Build) -> None:
    """A special token beyond the embedding table cannot be looked up, so it is no candidate."""
    model = tiny("bert")
    model.tokenizer.add_special_tokens({"additional_special_tokens": ["<extra>"]})
    assert model.tokenizer.convert_tokens_to_ids("<extra>") >= model.vocabulary_size
    assert searchable_ids(model).max() < model.vocabulary_size


@pytest.mark.parametrize(
    ("family", "tokens", "text", "typed"),
    [
        ("bert", ["film"], "film", True),
        ("bert", ["good", "film"], "good film", True),
        ("bert", ["q", "##t"], "qt", True),
        ("bert", ["##t"], "##t", False),
        ("bert", ["q", "t"], "q t", True),
        ("bert", ["[UNK]"], "[UNK]", True),
        ("gpt2", ["Ġfilm"], "film", True),
        ("gpt2", ["Ġgood", "Ġfilm"], "good film", True),
        ("gpt2", ["q"], "q", True),
        ("xlm-roberta", ["▁film"], "film", True),
    ],
)
def test_a_candidate_reads_as_it_is_typed(
    tiny: Build, family: str, tokens: list[str], text: str, typed: bool
) -> None:
    """The text is readable, and it is known whether typing it gives the same tokens."""
    model = tiny(family)
    ids = model.tokenizer.convert_tokens_to_ids(tokens)
    assert text_of(model, ids) == text
    assert retokenizes(model, ids) is typed


def test_half_a_letter_is_shown_as_the_vocabulary_writes_it(tiny: Build) -> None:
    """A byte that is no text of its own still has a name in the report."""
    model = tiny("gpt2")
    (half,) = model.tokenizer.convert_tokens_to_ids(["Ã"])
    assert text_of(model, (half,)) == "Ã"
    assert not retokenizes(model, (half,))


def test_a_blank_is_shown_by_its_id(tiny: Build) -> None:
    """A finding about white space alone must not read as a finding about nothing."""
    model = tiny("gpt2")
    (blank,) = model.tokenizer.convert_tokens_to_ids(["Ġ"])
    assert text_of(model, (blank, blank)) == f"{blank} {blank}"


@pytest.mark.parametrize("family", ["bert", "roberta", "xlnet", "gpt2"])
def test_what_is_written_is_read_again(tiny: Build, family: str) -> None:
    """Every item comes back as what has its text: itself, word pieces too, or what typing gives."""
    model = tiny(family)
    for item in searchable_ids(model).tolist():
        text = text_of(model, (item,))
        (read, *more) = ids_of(model, text)
        assert text_of(model, (read, *more)) == text or model.tokenize(text) == (read, *more)
    if family == "bert":
        pieces = [i for i in searchable_ids(model).tolist() if text_of(model, (i,))[:2] == "##"]
        assert pieces
        assert [ids_of(model, text_of(model, (i,))) for i in pieces] == [(i,) for i in pieces]
    words = text_of(model, searchable_ids(model)[-2:].tolist())
    assert ids_of(model, words) == model.tokenize(words)


def with_tokens(tokens: list[str], folder: Path) -> LoadedModel:
    """A tiny BERT whose vocabulary holds ``tokens`` behind the special ones."""
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate((*special, *tokens))})
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        BertModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return load(artifact_of(folder), "cpu")


@pytest.mark.parametrize(
    "other",
    ["##ilm", "##ing", "of", "q", "123", "b2b", "...", "[unused1]", "Film", "café"],
)
def test_what_is_no_word_by_itself_is_left_out(tmp_path: Path, other: str) -> None:
    """Pieces, two letters, digits, signs, and what the tokenizer writes in another way."""
    model = with_tokens(["film", other, "river", "##s"], tmp_path)
    words = whole_words(model, searchable_ids(model))
    assert model.tokenizer.convert_ids_to_tokens(words.tolist()) == ["film", "river"]


def test_words_keep_their_order(tiny: Build) -> None:
    """Those that were asked about, as they came."""
    model = tiny("bert")
    ids = torch.tensor(model.tokenizer.convert_tokens_to_ids(["story", "q", "the", "##t", "film"]))
    words = whole_words(model, ids)
    assert model.tokenizer.convert_ids_to_tokens(words.tolist()) == ["story", "the", "film"]
    assert words.dtype == ids.dtype
    assert whole_words(model, ids[:0]).tolist() == []


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "roberta", "xlm-roberta", "xlnet"])
def test_every_tokenizer_has_words(tiny: Build, family: str) -> None:
    """Whatever mark begins a word, all of three letters and more are found."""
    model = tiny(family)
    found = {model.decode([i]).strip() for i in whole_words(model, searchable_ids(model)).tolist()}
    assert {word for word in WORDS if len(word) > 2} <= found


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_the_null_is_drawn_from_the_ids(pieces: int) -> None:
    """Sequences of the asked length and number, from the given ids, by the seed alone."""
    ids = torch.tensor([3, 5, 8, 13])
    drawn = random_items(ids, pieces, 50, seed=1)
    assert len(drawn) == 50
    assert {len(item) for item in drawn} == {pieces}
    assert {i for item in drawn for i in item} == {3, 5, 8, 13}
    assert drawn == random_items(ids, pieces, 50, seed=1)
    assert drawn != random_items(ids, pieces, 50, seed=2)


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_candidate_more_leaves_the_null_as_it_is(pieces: int) -> None:
    """What holds one of its tokens is drawn again, and nothing else: no other z moves."""
    ids = torch.arange(100, 400)
    drawn = random_items(ids, pieces, 200, seed=1)
    taken = drawn[50][0], drawn[70][0]
    found = random_items(ids, pieces, 200, seed=1, without=taken)
    kept = [one for one in drawn if not {*one} & {*taken}]
    assert found[: len(kept)] == kept
    assert len(kept) < len(found) == 200
    assert not {i for one in found for i in one} & {*taken}


def test_the_global_dice_are_left_alone() -> None:
    """Drawing the null does not disturb the caller's random state."""
    before = torch.random.get_rng_state()
    random_items(torch.arange(9), 2, 5, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
