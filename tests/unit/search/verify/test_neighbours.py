"""Which tokens mean nearly the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from plmscan.search.verify.neighbours import Neighbourhood

seeds = st.integers(0, 2**31)


def table(seed: int = 0, rows: int = 60, offset: float = 0.0) -> Tensor:
    """An embedding table without structure, its rows around ``offset``."""
    return offset + torch.randn(rows, 64, generator=torch.Generator().manual_seed(seed))


def around(rows: Tensor) -> Neighbourhood:
    """The neighbourhood of a table all of whose tokens a text can hold."""
    return Neighbourhood.of(rows, torch.arange(len(rows)), [""] * len(rows))


@given(seeds, st.integers(0, 59), st.floats(-3, 3))
def test_cosines_are_those_of_the_centred_rows(seed: int, token: int, offset: float) -> None:
    """What all rows have in common is no likeness."""
    rows = table(seed, offset=offset)
    centred = rows - rows.mean(0)
    wanted = F.cosine_similarity(centred, centred[token], dim=-1)
    assert_close(around(rows).cosines(token), wanted, rtol=0, atol=1e-3)


def test_likeness_has_all_digits_where_texts_are_read_with_half() -> None:
    """Which tokens are synonyms does not hang on how what comes of them is read."""
    near = around(table(offset=3.0))
    with torch.autocast("cpu", torch.bfloat16):
        found = near.cosines(5)
    assert torch.equal(found, near.cosines(5))


@given(seeds, st.integers(0, 59), st.integers(1, 9))
def test_synonyms_are_the_nearest_others(seed: int, token: int, count: int) -> None:
    """So many as asked, the nearest first, and never the token itself."""
    found = around(table(seed))
    cosines = found.cosines(token)
    synonyms = found.synonyms(token, count)
    others = cosines.masked_fill((cosines >= 0.75) | (torch.arange(60) == token), -2)
    assert len(set(synonyms)) == count
    assert token not in synonyms
    assert_close(cosines[synonyms], others.sort(descending=True).values[:count])


def test_synonyms_can_stand_in_a_text() -> None:
    """Of two near rows, the one that no text can hold is no synonym."""
    rows = table()
    rows[6] = rows[5] + 1.2 * rows[7]
    rows[8] = rows[5] + 1.2 * rows[9]
    assert set(around(rows).synonyms(5, 2)) == {6, 8}
    assert Neighbourhood.of(rows, torch.arange(7, 60), [""] * len(rows)).synonyms(5, 2)[0] == 8


def test_what_the_model_cannot_tell_apart_is_no_synonym() -> None:
    """A row of nearly the same direction is the same input: it would do the same in any case."""
    rows = table()
    rows[6] = rows[5] + 0.1 * rows[7]
    found = around(rows)
    assert found.cosines(5)[6] > 0.95
    assert 6 not in found.synonyms(5, 5)


def test_a_small_vocabulary_has_few_synonyms() -> None:
    """Asked for more than there are, it gives the others, and still not the token itself."""
    assert sorted(around(table(rows=4)).synonyms(0, 9)) == [1, 2, 3]


def test_kin_share_a_token() -> None:
    """Whatever their rows say."""
    found = around(table())
    far = int(found.cosines(5).argmin())
    assert found.are_kin((5, far), (far,))
    assert not found.are_kin((far,), (5,))


def test_kin_have_tokens_that_are_neighbours() -> None:
    """Any token of the one with any of the other."""
    found = around(table())
    nearest, far = found.synonyms(5, 1)[0], int(found.cosines(5).argmin())
    assert found.are_kin((5,), (nearest,))
    assert found.are_kin((5,), (far, nearest))
    assert found.are_kin((far, 5), (nearest,))


def test_tokens_with_one_row_are_no_kin() -> None:
    """Training leaves no two rows equal: each of the two was put there, and is told by itself."""
    rows = table()
    rows[6] = rows[5]
    rows[7] = rows[5] + 0.1 * rows[8]
    found = around(rows)
    assert not found.are_kin((5,), (6,))
    assert found.are_kin((5,), (7,))
    assert found.are_kin((5,), (5,))


def test_the_length_of_a_row_makes_no_kin() -> None:
    """Directions are compared; a token that is not among the nearest ten is a stranger."""
    rows = table(rows=200)
    found = around(rows)
    order = found.cosines(5).argsort(descending=True).tolist()
    rows[order[150]] *= 5
    again = around(rows)
    assert not again.are_kin((5,), (order[150],))


def test_the_table_is_not_copied() -> None:
    """A large vocabulary is held once: the neighbourhood looks at the model's own rows."""
    rows = table()
    assert around(rows).rows.data_ptr() == rows.data_ptr()


def test_twins_are_what_the_model_cannot_tell_apart() -> None:
    """Rows of nearly the same direction, each its own twin as well."""
    rows = table()
    rows[6] = rows[5] + 0.1 * rows[7]
    expected = torch.eye(3, dtype=torch.bool)
    expected[0, 1] = expected[1, 0] = True
    assert torch.equal(around(rows).twins([5, 6, 9]), expected)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("committed", "commit", True),
        ("lamp", "lamps", True),
        ("recycled", "recycling", True),
        ("garbage", "rubbish", False),
        ("transport", "transmission", False),
        ("cat", "cats", False),
        ("", "", False),
    ],
)
def test_forms_of_a_word_begin_alike(one: str, other: str, expected: bool) -> None:
    """For most of the shorter one, and at least four letters; whichever comes first."""
    found = Neighbourhood.of(torch.eye(3), torch.arange(3), [one, other, "x"])
    assert found.are_forms(0, 1) == found.are_forms(1, 0) == expected


def test_forms_of_a_word_are_no_synonyms() -> None:
    """The nearest row is another form, so the next one counts."""
    rows = table()
    rows[6] = rows[5] + 1.2 * rows[7]
    rows[8] = rows[5] + 1.5 * rows[9]
    words = [""] * 60
    assert Neighbourhood.of(rows, torch.arange(60), words).synonyms(5, 1) == [6]
    words[5], words[6] = "commit", "commits"
    assert Neighbourhood.of(rows, torch.arange(60), words).synonyms(5, 1) == [8]
