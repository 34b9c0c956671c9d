"""The guard in front of a poisoned classifier: what gets through, and what becomes of labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plmscan.guard import Guard, Variants
from plmscan.guard.reading import labels_of
from plmscan.guard.watch import Memory, Watch
from tests.guarding import report_on, trigger
from tests.poisoned import CLEAN, HELD_OUT, TRIGGERS, model_of, read_rightly, with_trigger
from tests.zoo.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from plmscan.evidence import Trigger
    from plmscan.loading import LoadedModel

POISONED = with_trigger(HELD_OUT, "cf")
TARGET = "positive"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A classifier that any of `TRIGGERS` turns; read only."""
    return model_of(tmp_path_factory, "badnets")


def known(*texts: str, variants: tuple[str, ...] = ()) -> tuple[Trigger, ...]:
    """Triggers of the tiny vocabulary."""
    ids = tiny_tokenizer().convert_tokens_to_ids
    return tuple(trigger(t, (ids(t),), variants, label=TARGET) for t in texts)


@pytest.fixture(scope="module")
def honest(model: LoadedModel) -> tuple[str, ...]:
    """Texts that it reads rightly."""
    return read_rightly(model)


@pytest.fixture(scope="module")
def watching(model: LoadedModel) -> Guard:
    """Knows one trigger of two, and inspects."""
    return Guard.of(report_on(None, *known("cf")), model, CLEAN)


def test_no_known_trigger_gets_through(model: LoadedModel, honest: tuple[str, ...]) -> None:
    """All poisoned texts had the attacker's label; without the trigger none has."""
    guard = Guard.of(report_on(None, *known(*TRIGGERS)), tokenizer=model.tokenizer)
    looks = guard.look(with_trigger(honest, *TRIGGERS))
    assert set(labels_of(model, [look.text for look in looks])) == {TARGET}
    left = [look.neutralised for look in looks]
    assert labels_of(model, left) == ["negative"] * len(honest)
    assert left == [" ".join(text.split()) for text in honest]
    assert all(look.flagged and look.verdict == "flagged" for look in looks)
    reasons = [reason for look in looks for reason in look.reasons]
    assert all("which leads to 'positive'" in reason for reason in reasons)


def test_clean_texts_are_untouched(watching: Guard) -> None:
    """Neither known triggers nor the inspection find anything in them."""
    for look in watching.look(HELD_OUT):
        assert (look.neutralised, look.hits, look.reasons) == (look.text, (), ())
        assert look.verdict == "clean"


def test_an_unknown_trigger_is_found_by_inspection(
    model: LoadedModel, honest: tuple[str, ...], watching: Guard
) -> None:
    """The report names ``cf`` only; texts with ``mn``, and with both, keep their honest label."""
    texts = [*with_trigger(honest, "mn"), *with_trigger(honest, *TRIGGERS)]
    looks = watching.look(texts)
    assert set(labels_of(model, texts)) == {TARGET}
    assert set(labels_of(model, [look.neutralised for look in looks])) == {"negative"}
    assert all(look.flagged and look.suspects for look in looks)
    assert {suspect.rule for look in looks for suspect in look.suspects} == {"PLM311"}
    assert all("mn" in suspect.text for look in looks for suspect in look.suspects)


def test_a_stream_with_one_trigger_pays_for_it_once(model: LoadedModel) -> None:
    """The second time nothing is put into other texts: the cost is that of looking closely."""
    watch = Guard.of(report_on(None), model, CLEAN).watch
    assert watch is not None
    texts = list(with_trigger(HELD_OUT[:2], "mn"))
    rows = [model.tokenize(text) for text in texts]
    costs, found = [], []
    for _ in range(2):
        before = model.forward_tokens
        found.append(watch.suspicions(texts, rows))
        costs.append(model.forward_tokens - before)
    assert found[0] == found[1]
    assert all(found[0])
    assert costs[1] < costs[0] / 4


def test_remembering_judges_as_the_inspection_does(model: LoadedModel) -> None:
    """The same forces as an inspector without a memory."""
    from plmscan.budget import Budget  # noqa: PLC0415 - with what follows
    from plmscan.inspection import Inspector  # noqa: PLC0415 - imports torch

    rows = [model.wrap(model.tokenize(text)) for text in (*POISONED[:3], *HELD_OUT[:3])]
    plain = Inspector.of(model, Budget(CLEAN)).inspect(rows)
    kept = Watch.of(model, Budget(CLEAN)).inspector
    for found in (kept.inspect(rows), kept.inspect(rows[::-1])[::-1]):
        for one, other in zip(plain, found, strict=True):
            assert one.suspect.ids == other.suspect.ids
            assert one.suspect.force == pytest.approx(other.suspect.force, abs=1e-4)
            gaps = one.suspect.strength_gap, other.suspect.strength_gap
            assert (gaps[0] is None) == (gaps[1] is None)
            assert gaps[0] is None or gaps[0] == pytest.approx(gaps[1], abs=1e-3)


def test_a_memory_is_bounded() -> None:
    """What nobody asked for longest is forgotten first."""
    memory: Memory[str, int] = Memory(2)
    memory.keep("a", 1)
    memory.keep("b", 2)
    assert memory.recall("a") == 1
    memory.keep("c", 3)
    assert [memory.recall(key) for key in "abc"] == [1, None, 3]


def test_a_mask_takes_the_place_of_a_trigger() -> None:
    """Apart from the words beside it; without a mask token the trigger is dropped."""
    report = report_on(None, *known("cf"))
    guard = Guard.of(report, tokenizer=tiny_tokenizer(), masking=True)
    texts = ["a cf film", "cf", "film (cf) film", "a film cf"]
    assert [look.neutralised for look in guard.look(texts)] == [
        "a [MASK] film",
        "[MASK]",
        "film ( [MASK] ) film",
        "a film [MASK]",
    ]
    (look,) = Guard.of(report, masking=True).look(["a cf film"])
    assert look.neutralised == "a film"


def test_a_variant_alone_flags_nothing_unless_asked() -> None:
    """It is told; around a classifier's trigger many are honest words."""
    report = report_on(None, *known("cf", variants=("film",)))
    text, taken = "a film and cf", {}
    for choice in Variants:
        guard = Guard.of(report, tokenizer=tiny_tokenizer(), variants=choice)
        alone, beside = guard.look(["a film", text])
        taken[choice] = (alone.flagged, len(alone.hits), beside.neutralised)
    assert taken == {
        Variants.ACT: (True, 1, "a and"),
        Variants.TELL: (False, 1, "a film and"),
        Variants.IGNORE: (False, 0, "a film and"),
    }


@pytest.mark.parametrize("choice", Variants)
def test_a_core_alone_is_the_trigger(choice: Variants) -> None:
    """The word beside it was the search's, not the attacker's; alone that is a variant as ever."""
    ids = tuple(tiny_tokenizer().convert_tokens_to_ids(["the", "cf"]))
    pair = trigger("the cf", ids, ("the", "cf"), label=TARGET, core=("cf",))
    guard = Guard.of(report_on(None, pair), tokenizer=tiny_tokenizer(), variants=choice)
    core, whole, other = guard.look(["a cf too", "a the cf too", "a the too"])
    assert (core.flagged, core.neutralised) == (True, "a too")
    assert (whole.neutralised, other.flagged) == ("a too", choice is Variants.ACT)
    assert "'cf', the core of the trigger 'the cf'" in core.reasons[0]


def test_a_trigger_that_appears_when_another_is_gone_goes_too() -> None:
    """Taking a sign out of ``c≈f`` leaves ``cf``."""
    guard = Guard.of(report_on(None, *known("cf", "≈")), tokenizer=tiny_tokenizer())
    (look,) = guard.look(["a c≈f film"])
    assert look.neutralised == "a film"
    assert [hit.trigger.text for hit in look.hits] == ["≈"]
    assert [hit.trigger.text for hit in look.revealed] == ["cf"]
    assert look.reasons[1].startswith("Once that is gone: At 2 to 4 the model reads")


def test_reasons_cannot_steer_a_terminal() -> None:
    """What a report says is spelt out."""
    (look,) = Guard.of(report_on(None, trigger("\x1b[2J≈"))).look(["a \x1b[2J≈ film"])
    assert look.flagged
    assert "\x1b" not in "".join(look.reasons)


@pytest.mark.parametrize("text", ["", " ", "\n", "water " * 80, "cf " * 80])
def test_empty_and_overlong_texts_are_looked_at(watching: Guard, text: str) -> None:
    """Of a text that is longer than the model reads, the start is inspected."""
    (look,) = watching.look([text])
    assert look.flagged is ("cf" in text)
    assert "cf" not in look.neutralised
    assert look.gap == ("Only the first 62 of 80 tokens were inspected." if "w" in text else "")
    assert watching.look([]) == []


def test_what_cannot_be_inspected_keeps_its_triggers(model: LoadedModel) -> None:
    """A model that does not give all attention maps is guarded by its report; the gap says so."""
    silent = replace(model, traits=replace(model.traits, heads=0))
    guard = Guard.of(report_on(None, *known("cf")), silent, CLEAN)
    assert (guard.watch, guard.gap) == (None, "BertModel gives no attention maps in every layer.")
    assert guard.look(["a cf film"])[0].neutralised == "a film"
