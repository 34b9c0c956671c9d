"""What every rewriting of the bank keeps to, whatever the text is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.rewritings import BANK, Rewriting

_LETTERS = "abcdefgilmnoprstuwyABTWIx"
words = st.text(_LETTERS, min_size=1, max_size=9)
sentences = st.lists(words, min_size=1, max_size=20).map(" ".join)
ends = st.sampled_from(("", ".", "?", "!", " ."))
texts = st.tuples(sentences, ends).map("".join)

_GROWTH, _FRAME = 4, 160
"""A rewriting is at most so many times as long as its text, and so many characters more."""

each = pytest.mark.parametrize("rewriting", BANK, ids=lambda one: one.name)


def test_the_bank_is_large_and_its_names_are_unique() -> None:
    """Sixty ways at least, each with a name, a kind and a line that says what it does."""
    assert len(BANK) >= 60
    assert max(Counter(one.name for one in BANK).values()) == 1
    assert all(one.kind and one.description for one in BANK)
    assert len({one.kind for one in BANK}) >= 15


@given(text=texts)
def test_no_rewriting_depends_on_anything_but_the_text(text: str) -> None:
    """Written twice, and in any order, a text is the same."""
    first = [one(text) for one in BANK]
    assert [one(text) for one in reversed(BANK)] == first[::-1]


@given(text=texts)
def test_no_rewriting_loses_a_text(text: str) -> None:
    """Something is left, it holds a letter of the text, and it does not grow without bounds."""
    for one in BANK:
        written = one(text)
        assert written.strip(), one.name
        assert len(written) <= _GROWTH * len(text) + _FRAME, one.name


@each
def test_every_rewriting_changes_an_ordinary_text(rewriting: Rewriting) -> None:
    """Of some sentences at least one is written otherwise; what changes nothing asks nothing."""
    ordinary = (
        "She keeps a small notebook beside the telephone and it is old.",
        "He doesn't know you, but the photograph of their quick fox was in the box.",
        "THEY HAVE NEVER SEEN IT",
    )
    assert any(rewriting(text) != text for text in ordinary)


@pytest.mark.parametrize(
    "name", [one.name for one in BANK if one.kind in {"clause first", "told", "asked", "quoted"}]
)
def test_what_frames_a_text_leaves_its_words_alone(name: str) -> None:
    """All words of the text stand in the result, in their order."""
    (rewriting,) = (one for one in BANK if one.name == name)
    text = "the harvest began a week earlier than usual"
    left = iter(rewriting(text).lower().replace('"', " ").replace("?", " ").split())
    assert all(any(word.strip(".,") == own for word in left) for own in text.split())


def test_no_word_of_a_frame_is_always_there() -> None:
    """What stands in front of texts varies, or a trigger of words could be mistaken for a form."""
    (when,) = (one for one in BANK if one.name == "when first")
    fronts = {when(f"the house number {k} is old").split(",")[0] for k in range(20)}
    assert len(fronts) > 10
