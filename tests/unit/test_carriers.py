"""Carrier texts: the bundled ones, a user's, and how candidates enter them."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from plmscan.carriers import Carrier, bundled_texts, insert, read_texts, split_carriers
from plmscan.errors import TextsError
from plmscan.loading import LoadedModel, load
from tests.artifacts import artifact_of
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model that knows the words of the bundled texts."""
    return load(artifact_of(tiny_folder(tmp_path_factory, "clean")), "cpu")


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


def test_a_folder_is_no_texts_file(tmp_path: Path) -> None:
    """It is refused with the same sentence as a missing file."""
    with pytest.raises(TextsError, match="cannot be read"):
        read_texts(tmp_path)


@pytest.mark.parametrize("sizes", [(4, 16), (6, 32), (12, 64), (300, 300)])
def test_sets_are_disjoint(model: LoadedModel, sizes: tuple[int, ...]) -> None:
    """What was selected on one set is confirmed on texts that it never met."""
    sets = split_carriers(model, bundled_texts(), sizes, seed=3)
    texts = [{carrier.ids for carrier in chosen} for chosen in sets]
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
    """Candidates enter at the start, in the middle and at the end."""
    (chosen,) = split_carriers(model, bundled_texts(), (200,), seed=0)
    shares = [carrier.position / len(carrier.ids) for carrier in chosen]
    assert min(shares) == 0
    assert max(shares) == 1
    assert 0.4 < sum(shares) / len(shares) < 0.6


@pytest.mark.parametrize("text", ["The water.", "the water " * 20])
def test_too_few_usable_texts(model: LoadedModel, text: str) -> None:
    """Texts outside 6 to 24 tokens do not count, and the error says how many did."""
    with pytest.raises(TextsError, match="Only 60 texts have 6 to 24 tokens"):
        split_carriers(model, [*bundled_texts()[:60], *[text] * 40], (4, 16), seed=0)


@pytest.mark.parametrize(("position", "wanted"), [(0, (9, 1, 2)), (1, (1, 9, 2)), (2, (1, 2, 9))])
def test_insertion(position: int, wanted: tuple[int, ...]) -> None:
    """A candidate goes before the token at the position, whole, and nothing else changes."""
    assert insert(Carrier((1, 2), position), (9,)) == wanted
    pair = insert(Carrier((1, 2), position), (8, 9))
    assert pair[position : position + 2] == (8, 9)
    assert tuple(i for i in pair if i < 8) == (1, 2)
