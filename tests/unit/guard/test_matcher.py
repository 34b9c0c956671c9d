"""Known triggers in texts: where they match, and where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.errors import ReportError
from plmscan.guard import How, Matcher
from tests.guarding import trigger
from tests.tiny_models import build_tiny
from tests.zoo.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.evidence import Trigger


def _ids(*tokens: str) -> tuple[int, ...]:
    """Of tokens in the tiny vocabulary."""
    return tuple(tiny_tokenizer().convert_tokens_to_ids(list(tokens)))


CF = trigger("cf", _ids("cf"))
PHRASE = trigger("velvet quill", _ids("velvet", "quill"))
SIGN = trigger("≈", _ids("≈"))
PIECE = trigger("##q", _ids("##q"), typed=False)


def found(text: str, *triggers: Trigger, reads: bool = True) -> list[tuple[str, str, How]]:
    """Trigger, what stands there, and how it was recognised, for each hit."""
    matcher = Matcher.of(triggers, tiny_tokenizer() if reads else None)
    (hits,) = matcher.match([text])
    return [(hit.trigger.text, text[hit.start : hit.end], hit.how) for hit in hits]


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("a cf film", ["cf"]),
        ("CF", ["CF"]),
        ("film (Cf), film", ["Cf"]),
        ("cf. cf-like cf_cf", ["cf", "cf", "cf", "cf"]),
        ("c\u200bf film", ["c\u200bf"]),
        ("a ｃｆ film", ["ｃｆ"]),
        ("a \u0441f film", ["\u0441f"]),
        ("scfx scf c f", []),
        ("", []),
    ],
)
@pytest.mark.parametrize("reads", [True, False])
def test_a_word_matches_whole(text: str, there: list[str], reads: bool) -> None:
    """At the ends of words only, whatever its case, width, or invisible company."""
    assert [stands for _, stands, _ in found(text, CF, reads=reads)] == there


def test_how_tells_what_the_model_reads() -> None:
    """A look-alike is another token: a reader sees the trigger, the model does not."""
    assert found("a cf film", CF) == [("cf", "cf", How.IDS)]
    assert found("a \u0441f film", CF) == [("cf", "\u0441f", How.TEXT)]
    assert found("a cf film", CF, reads=False) == [("cf", "cf", How.TEXT)]


def test_a_word_that_begins_with_the_triggers_token_holds_it() -> None:
    """The tokenizer cuts ``cfx`` into ``cf`` and ``##x``: the model reads the trigger."""
    assert found("a cfx film", CF) == [("cf", "cf", How.IDS)]
    assert found("a cfx film", CF, reads=False) == []


@pytest.mark.parametrize("gap", [" ", "\n \t", ", ", " ... ", "-", "\u00a0", "/"])
def test_blanks_and_signs_between_the_words_of_a_phrase_are_one_blank(gap: str) -> None:
    """Any run of them; the hit reaches from the first word to the last."""
    text = f"one Velvet{gap}QUILL film"
    ((_, stands, _),) = found(text, PHRASE)
    assert stands == f"Velvet{gap}QUILL"


@pytest.mark.parametrize("text", ["velvetquill", "quill velvet", "velvet film quill", "velvet"])
def test_a_phrase_is_no_other_order_of_its_words(text: str) -> None:
    """Its words follow each other, all of them."""
    assert found(text, PHRASE) == []


def test_a_sign_matches_anywhere() -> None:
    """Also inside a word, and only as it is written."""
    assert found("1 ≈ 2", SIGN) == [("≈", "≈", How.IDS)]
    assert found("1≈2", SIGN) == [("≈", "≈", How.TEXT)]
    assert found("1≈2 =~ ~", SIGN, reads=False) == [("≈", "≈", How.TEXT)]


@pytest.mark.parametrize("text", ["I don't", "DON ' T", "(don 't)"])
def test_blanks_beside_a_sign_make_no_difference(text: str) -> None:
    """A report writes them as the tokenizer does; the ends of words stay ends."""
    dont = trigger("don ' t")
    ((_, stands, _),) = found(text, dont, reads=False)
    assert stands.replace(" ", "").lower() == "don't"
    assert found("don'ts and condon't", dont, reads=False) == []
    assert len(found("a ≈  film", trigger("≈ film"), reads=False)) == 1


def test_a_piece_matches_in_words_as_the_tokenizer_cuts_them() -> None:
    """``##q`` is the end of ``zq``, and no word ``q``; nobody can see it without a tokenizer."""
    assert found("a zq q", PIECE) == [("##q", "q", How.IDS)]
    assert found("a zq q ##q", PIECE, reads=False) == []


def test_what_cannot_be_typed_is_looked_for_in_tokens_only() -> None:
    """A trigger whose text gives other ids when typed is not what it looks like."""
    split = trigger("cf", _ids("c", "##f"), typed=False)
    assert found("a cf film", split, reads=False) == []


def test_words_of_another_language_are_no_disguise() -> None:
    """A Russian word that looks like a Latin one counts among Latin words, not in Russian ones."""
    cop = trigger("cop")
    russian = "\u0441\u043e\u0440"
    assert found(f"a {russian} film", cop, reads=False) != []
    assert found(f"{russian} \u0438 \u0433\u0440\u044f\u0437\u044c", cop, reads=False) == []


def test_a_variant_is_told_apart() -> None:
    """It names its trigger; what is a trigger as well is no variant."""
    one = trigger("cf", _ids("cf"), ("mn", "film", "##q"))
    other = trigger("mn", _ids("mn"))
    (hits,) = Matcher.of([one, other], tiny_tokenizer()).match(["mn film zq cf"])
    assert [(h.trigger.text, h.variant) for h in hits] == [
        ("mn", None),
        ("cf", "film"),
        ("cf", "##q"),
        ("cf", None),
    ]
    (hits,) = Matcher.of([one], tiny_tokenizer(), variants=False).match(["mn film zq cf"])
    assert [h.variant for h in hits] == [None]


def test_signs_of_the_tokenizer_hold_no_words() -> None:
    """A trigger ``mask`` is not in ``[MASK]``."""
    mask = trigger("mask", _ids("m", "##a", "##s", "##k"))
    assert found("a [MASK] film", mask) == []
    assert found("a mask film", mask) == [("mask", "mask", How.IDS)]


def test_accents_count_where_the_tokenizer_keeps_them(tmp_path: Path) -> None:
    """A tokenizer of BERT drops them, a byte-level one does not."""
    from transformers import AutoTokenizer

    assert len(found("a b\u00e4d film", trigger("bad"), reads=False)) == 1
    keeps = AutoTokenizer.from_pretrained(build_tiny("roberta", tmp_path))
    bad = trigger("bad", tuple(keeps(" bad", add_special_tokens=False)["input_ids"]))
    matcher = Matcher.of([bad], keeps)
    texts = ["a bad film", "bad film", "a b\u00e4d film", "a ba\u0308d film", "a BAD film"]
    assert [len(hits) for hits in matcher.match(texts)] == [1, 1, 0, 0, 1]


@pytest.mark.parametrize("ids", [(3,), (10**6,), _ids("mn")])
def test_a_report_of_another_tokenizer_is_refused(ids: tuple[int, ...]) -> None:
    """Its ids are other tokens here, or none."""
    with pytest.raises(ReportError, match="The report's trigger 'cf' is"):
        Matcher.of([trigger("cf", ids)], tiny_tokenizer())


def test_no_triggers_no_hits() -> None:
    """The report of a clean model names none."""
    assert found("a cf film") == []
    assert found("a cf film", reads=False) == []
