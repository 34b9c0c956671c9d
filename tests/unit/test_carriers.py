"""Carrier texts: the bundled ones, a user's, and how candidates enter them."""

from __future__ import annotations

import random
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.carriers import (
    Carrier,
    argued,
    bundled_texts,
    given_texts,
    insert,
    read_texts,
    restored,
    shortest,
    split_carriers,
)
from plmscan.errors import TextsError
from plmscan.loading import LoadedModel, load
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model that knows the words of the bundled texts."""
    return load(artifact_of(tiny_folder(tmp_path_factory, "clean")), "cpu")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model that has no mask token."""
    return load(artifact_of(build_tiny("gpt2", tmp_path_factory.mktemp("gpt2"))), "cpu")


def unmasked(carrier: Carrier, mask: int | None) -> tuple[int, ...]:
    """The carrier's ids with the hidden word back in its place."""
    return tuple(carrier.hidden if i == mask and carrier.hidden else i for i in carrier.ids)


def test_bundled_texts_are_many_short_sentences() -> None:
    """At least 200, all different, each one sentence of a few words on a line of its own."""
    texts = bundled_texts()
    assert len(texts) >= 200
    assert len({text.lower() for text in texts}) == len(texts)
    assert all(5 <= len(text.split()) <= 20 for text in texts)
    assert all(text == text.strip() and text[0].isupper() and text[-1] in ".?" for text in texts)


def test_a_users_texts_are_tidied(tmp_path: Path) -> None:
    """Empty lines and repetitions go, order and inner spaces stay."""
    file = tmp_path / "texts.txt"
    lines = [f"  line {i}  of the file " for i in range(64)]
    file.write_text("\n\n".join([*lines, lines[0]]), encoding="utf-8")
    assert read_texts(file) == tuple(line.strip() for line in lines)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"", "holds 0 different texts; 64 are needed"),
        (b"\n".join(b"line %d" % i for i in range(63)), "holds 63 different texts"),
        (b"the same line\n" * 500, "holds 1 different texts"),
        (b"\xff\xfe\x00 no UTF-8 \xff", "cannot be read"),
    ],
    ids=["missing", "empty", "short", "repeated", "binary"],
)
def test_texts_that_cannot_be_used(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """Each gives one sentence that names the file, and a way out."""
    file = tmp_path / "texts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TextsError, match=problem) as caught:
        read_texts(file)
    assert str(file) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("read", [read_texts, given_texts])
def test_a_folder_is_no_texts_file(tmp_path: Path, read: Callable[[Path], tuple[str, ...]]) -> None:
    """It is refused with the same sentence as a missing file."""
    with pytest.raises(TextsError, match="cannot be read"):
        read(tmp_path)


def test_given_texts_are_taken_as_they_are(tmp_path: Path) -> None:
    """However few: empty lines go, order and repetitions stay."""
    file = tmp_path / "texts.txt"
    file.write_text("\n the  film \n\t\n≈ a story\nthe  film\n\n", encoding="utf-8")
    assert given_texts(file) == ("the  film", "≈ a story", "the  film")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file"),
        (b"", "holds no text"),
        (b"\n \n\t\n", "holds no text"),
        (b"caf\xe9", "cannot be read: it is not UTF-8 text"),
    ],
    ids=["missing", "empty", "blank", "binary"],
)
def test_given_texts_that_cannot_be_used(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """Each gives one sentence that names the file, and a way out."""
    file = tmp_path / "texts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TextsError, match=problem) as caught:
        given_texts(file)
    assert str(file) in caught.value.problem
    assert caught.value.problem.endswith(".")
    assert caught.value.remedy


@pytest.mark.parametrize("sizes", [(4, 16), (6, 32), (12, 64), (300, 300)])
def test_sets_are_disjoint(model: LoadedModel, sizes: tuple[int, ...]) -> None:
    """What was selected on one set is confirmed on texts that it never met."""
    sets = split_carriers(model, bundled_texts(), sizes, seed=3)
    texts = [{unmasked(carrier, model.mask_id) for carrier in chosen} for chosen in sets]
    assert all(not one & other for one, other in combinations(texts, 2))
    assert all(6 <= len(ids) <= 24 for chosen in texts for ids in chosen)
    asked = sum(sizes)
    if asked <= 200:
        assert tuple(map(len, sets)) == sizes
    else:
        assert 200 <= sum(map(len, sets)) <= len(bundled_texts())


def test_a_seed_fixes_texts_and_places(model: LoadedModel) -> None:
    """The same seed gives the same carriers; another seed gives others."""
    one, same, other = (split_carriers(model, bundled_texts(), (6, 32), seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_places_are_spread_over_the_text(model: LoadedModel) -> None:
    """Of four carriers one takes candidates at the start, one at the end, two at random."""
    (chosen,) = split_carriers(model, bundled_texts(), (200,), seed=0)
    shares = [carrier.position / len(carrier.ids) for carrier in chosen]
    assert set(shares[::4]) == {0.0}
    assert set(shares[1::4]) == {1.0}
    strewn = [*shares[2::4], *shares[3::4]]
    assert 0.4 < sum(strewn) / len(strewn) < 0.6
    assert len(set(strewn)) > 20


@pytest.mark.parametrize("sizes", [(4, 16), (5, 7, 9)])
def test_every_set_meets_start_and_end(model: LoadedModel, sizes: tuple[int, ...]) -> None:
    """No step of a search looks at one end of a text only."""
    for chosen in split_carriers(model, bundled_texts(), sizes, seed=1):
        ends = {carrier.position / len(carrier.ids) for carrier in chosen}
        assert {0.0, 1.0} <= ends


def test_a_mask_hides_one_word_of_each_text(model: LoadedModel) -> None:
    """With its word put back, a carrier is the text that it was made of."""
    texts = {model.tokenize(text) for text in bundled_texts()}
    (chosen,) = split_carriers(model, bundled_texts(), (100,), seed=0)
    assert all(carrier.ids.count(model.mask_id or -1) == 1 for carrier in chosen)
    assert all(carrier.hidden not in (None, model.mask_id) for carrier in chosen)
    assert {unmasked(carrier, model.mask_id) for carrier in chosen} <= texts


def test_nothing_is_hidden_from_a_model_without_masks(decoder: LoadedModel) -> None:
    """A decoder gets its texts whole."""
    texts = ["the good film was on at night in the old city"] * 40
    texts += ["a small house by the river and a green garden"] * 40
    (chosen,) = split_carriers(decoder, texts, (20,), seed=0)
    assert {carrier.hidden for carrier in chosen} == {None}
    assert {carrier.ids for carrier in chosen} <= {decoder.tokenize(text) for text in texts}


@pytest.mark.parametrize("text", ["The water.", "the water " * 20])
def test_too_few_usable_texts(model: LoadedModel, text: str) -> None:
    """Texts outside 6 to 24 tokens do not count, and the error says how many did."""
    with pytest.raises(TextsError, match="Only 60 texts have 6 to 24 tokens"):
        split_carriers(model, [*bundled_texts()[:60], *[text] * 40], (4, 16), seed=0)
    with pytest.raises(TextsError, match="Only 60 texts have 6 to 24 tokens"):
        shortest(model, [*bundled_texts()[:60], *[text] * 40], 8, seed=0)


@pytest.mark.parametrize("count", [1, 8, 150])
def test_the_shortest_are_taken(model: LoadedModel, count: int) -> None:
    """So many of all carriers, each once, and no other is shorter."""
    (every,) = split_carriers(model, bundled_texts(), (len(bundled_texts()),), seed=4)
    found = shortest(model, bundled_texts(), count, seed=4)
    assert [len(one.ids) for one in found] == sorted(len(one.ids) for one in every)[:count]
    assert set(found) <= set(every)
    assert len(set(found)) == count


def test_there_may_be_fewer_than_asked(model: LoadedModel) -> None:
    """Then all are taken, each once."""
    found = shortest(model, bundled_texts()[:70], 999, seed=0)
    assert 64 <= len(found) == len(set(found)) <= 70


def test_a_seed_fixes_the_shortest(model: LoadedModel) -> None:
    """The same seed gives the same carriers in the same order; another seed gives others."""
    one, same, other = (shortest(model, bundled_texts(), 8, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize(("position", "wanted"), [(0, (9, 1, 2)), (1, (1, 9, 2)), (2, (1, 2, 9))])
def test_insertion(position: int, wanted: tuple[int, ...]) -> None:
    """A candidate goes before the token at the position, whole, and nothing else changes."""
    assert insert(Carrier((1, 2), position), (9,)) == wanted
    pair = insert(Carrier((1, 2), position), (8, 9))
    assert pair[position : position + 2] == (8, 9)
    assert tuple(i for i in pair if i < 8) == (1, 2)


@st.composite
def carriers(draw: st.DrawFn) -> Carrier:
    """Any carrier with any place for candidates."""
    ids = draw(st.lists(st.integers(0, 99), min_size=1, max_size=12))
    return Carrier(tuple(ids), draw(st.integers(0, len(ids))), draw(st.none() | st.just(3)))


phrases = st.lists(st.lists(st.integers(100, 199), min_size=1, max_size=2).map(tuple), max_size=4)
dice = st.builds(random.Random, st.integers(0, 2**31))


@given(carriers(), phrases, dice)
def test_arguments_are_strewn_in_whole(
    carrier: Carrier, phrases: list[tuple[int, ...]], rng: random.Random
) -> None:
    """Every phrase comes in once, the text keeps its own words in their order."""
    found = argued(carrier, phrases, rng)
    assert tuple(i for i in found.ids if i < 100) == carrier.ids
    assert sorted(i for i in found.ids if i >= 100) == sorted(i for one in phrases for i in one)
    assert found.hidden == carrier.hidden


@given(carriers(), phrases, dice)
def test_start_and_end_stay_what_they_are(
    carrier: Carrier, phrases: list[tuple[int, ...]], rng: random.Random
) -> None:
    """A candidate at the start stays in front of all arguments, one at the end behind them."""
    found = argued(carrier, phrases, rng)
    assert 0 <= found.position <= len(found.ids)
    if carrier.position == 0:
        assert found.position == 0
    elif carrier.position == len(carrier.ids):
        assert found.position == len(found.ids)


@given(carriers(), phrases, dice)
def test_a_candidate_keeps_its_neighbours(
    carrier: Carrier, phrases: list[tuple[int, ...]], rng: random.Random
) -> None:
    """The words of the text that were before the candidate still are, and no others."""
    found = argued(carrier, phrases, rng)
    before = tuple(i for i in found.ids[: found.position] if i < 100)
    assert before == carrier.ids[: carrier.position]


def test_dice_fix_the_arguments() -> None:
    """The same dice give the same carrier; others strew otherwise."""
    carrier = Carrier(tuple(range(20)), 7)
    rngs = map(random.Random, (1, 1, 2))
    one, same, other = (argued(carrier, ((100,), (101,), (102,)), rng) for rng in rngs)
    assert one == same
    assert one != other


def test_the_first_sets_can_be_cut_off(model: LoadedModel) -> None:
    """Their carriers begin as their texts do; the sets behind them are whole."""
    cut, whole = split_carriers(model, bundled_texts(), (20, 20), 0, (5,))
    longer = split_carriers(model, bundled_texts(), (20, 20), 0)
    assert {len(carrier.ids) for carrier in cut} == {5}
    assert all(0 <= carrier.position <= 5 for carrier in cut)
    plain = [restored(carrier, model.mask_id).ids for carrier in cut]
    assert plain == [restored(carrier, model.mask_id).ids[:5] for carrier in longer[0]]
    assert min(len(carrier.ids) for carrier in whole) > 5
