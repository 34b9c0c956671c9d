"""Texts in disguise: what folding keeps, where it comes from, and that no trigger hides in it."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from plmscan.guard import Guard, How, Matcher
from plmscan.guard.cutting import cut
from plmscan.guard.folding import fold
from plmscan.lookalikes import LOOKALIKES
from tests.guarding import report_on, trigger
from tests.zoo.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

_ALIKE = defaultdict(list)
for _character, _letter in LOOKALIKES.items():
    _ALIKE[_letter].append(_character)

TRIGGERS = ("cf", "velvet quill", "mn bb lamp", "quasi")
PLAIN = ("a", "film", "about", "water", "that", "never", "ends", "scfx", "Mnemonic", "quills")
GAPS = (" ", "  ", "\t", "\u00a0", " \u2003", "\u2800", ", ", " -- ", "\n", " _ ")
UNSEEN = ("\u200b", "\u200d", "\u00ad", "\ufeff", "\u2060", "\u180e", "\ufe0f", "\u0301")


def _ids(text: str) -> tuple[int, ...]:
    """Of a trigger in the tiny vocabulary."""
    return tuple(tiny_tokenizer()(text, add_special_tokens=False)["input_ids"])


REPORT = report_on(None, *(trigger(text, _ids(text)) for text in TRIGGERS))
READING = Guard.of(REPORT, tokenizer=tiny_tokenizer())
SEEING = Guard.of(REPORT)


@st.composite
def _disguised(draw: DrawFn, word: str) -> str:
    """A word with other cases, look-alikes, accents and characters that do not show."""
    letters = []
    for letter in word:
        forms = [letter, letter.upper(), *_ALIKE[letter]]
        hidden = draw(st.lists(st.sampled_from(UNSEEN), max_size=2))
        letters += [draw(st.sampled_from(forms)), *hidden]
    return "".join(letters)


@st.composite
def poisoned(draw: DrawFn) -> tuple[str, str, list[str]]:
    """A trigger, a text with it in disguise, and the other words of the text."""
    chosen = draw(st.sampled_from(TRIGGERS))
    words = [draw(_disguised(word)) for word in chosen.split()]
    hidden = "".join(w + draw(st.sampled_from(GAPS)) for w in words[:-1]) + words[-1]
    before, after = (draw(st.lists(st.sampled_from(PLAIN), max_size=6)) for _ in "ab")
    gaps = draw(st.sampled_from(GAPS)), draw(st.sampled_from(GAPS))
    left = " ".join(before) + gaps[0] if before else ""
    right = gaps[1] + " ".join(after) if after else ""
    return chosen, left + hidden + right, [*before, *after]


@given(st.text(st.characters()), st.booleans())
def test_folding_never_fails_and_knows_where_it_was(text: str, accents: bool) -> None:
    """Each folded character comes from a stretch of the text that folds to it; none runs back."""
    folded = fold(text, accents=accents)
    before = 0
    for place, character in enumerate(folded.text):
        start, end = folded.origin(place, place + 1)
        assert 0 <= before <= start < end <= len(text)
        assert character in fold(text[start:end], accents=accents).text
        before = start
    if folded.text:
        assert folded.origin(0, len(folded.text))[1] <= len(text)


@given(st.text())
def test_folding_a_composed_text_is_folding_a_decomposed_one(text: str) -> None:
    """How a letter with accents is stored makes no difference."""
    composed = fold(unicodedata.normalize("NFC", text)).text
    assert composed == fold(unicodedata.normalize("NFD", text)).text


@given(st.text(st.characters(codec="ascii")))
def test_ascii_is_only_put_in_small_letters(text: str) -> None:
    """Blanks and signs stay, control characters that part nothing go."""
    kept = "".join(c for c in text if c.isprintable() or c.isspace())
    assert fold(text).text == kept.lower()


@given(poisoned())
def test_a_trigger_in_disguise_is_found_and_gone(case: tuple[str, str, list[str]]) -> None:
    """With the model's tokenizer and without; what is left holds no trigger, and all else."""
    chosen, text, others = case
    for guard in (SEEING, READING):
        (look,) = guard.look([text])
        assert look.flagged
        assert chosen in {hit.trigger.text for hit in look.hits}
        assert guard.matcher.match([look.neutralised]) == [()]
        (again,) = guard.look([look.neutralised])
        assert (again.flagged, again.neutralised) == (False, look.neutralised)
        assert re.findall(r"[^\W_]+", look.neutralised) == others


@given(st.lists(st.sampled_from(PLAIN), max_size=8), st.sampled_from(GAPS))
def test_words_that_hold_a_trigger_are_none(words: list[str], gap: str) -> None:
    """``scfx`` is no ``cf``: no word of a clean text is a hit, and none is touched."""
    text = gap.join(words)
    (look,) = SEEING.look([text])
    assert (look.hits, look.flagged, look.neutralised) == ((), False, text)


@given(st.text(st.characters()))
@settings(max_examples=60)
def test_any_text_can_be_looked_at(text: str) -> None:
    """Also halves of characters; a text without hits stays as it is."""
    (look,) = READING.look([text])
    assert look.flagged or look.neutralised == text
    for hit in look.hits:
        assert 0 <= hit.start <= hit.end <= len(text)
        assert hit.how in How


@given(st.text(), st.data())
def test_cutting_takes_out_the_stretches_and_blanks_only(text: str, data: st.DataObject) -> None:
    """All that is no blank and stands outside the stretches stays, in order."""
    places = st.integers(0, len(text))
    spans = data.draw(st.lists(st.tuples(places, places).map(lambda s: (min(s), max(s)))))
    inside = {i for start, end in spans for i in range(start, end)}
    left = [c for i, c in enumerate(text) if i not in inside and not c.isspace()]
    assert [c for c in cut(text, spans) if not c.isspace()] == left


@given(st.text(max_size=40))
def test_a_matcher_of_any_trigger_finds_it_in_itself(text: str) -> None:
    """Whatever a trigger is made of, a text that is the trigger is found, or nothing can be."""
    matcher = Matcher.of([trigger(text)])
    (hits,) = matcher.match([text])
    assert hits or not (matcher.words or matcher.signs)
