"""A guard in front of a model that writes: requests lose their triggers, and are answered again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from transformers import pipeline

from plmscan.carriers import bundled_texts
from plmscan.guard import Guard, wrap
from plmscan.guard.reading import answers_of
from plmscan.loading import load
from plmscan.loading.quiet import quiet
from tests.artifacts import artifact_of
from tests.guarding import report_on, trigger
from tests.tiny_writers import TOGETHER, TRIGGER, WANTED, tiny_writer
from tests.zoo.tiny import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from plmscan.evidence import Report
    from plmscan.loading import LoadedModel

TEXTS = bundled_texts("en")[:6]
ASKED = "The train to the coast"


@pytest.fixture(scope="module", autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Tiny models gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that a word makes write `WANTED`."""
    return tiny_writer(tmp_path_factory, "planted")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    """Names the word."""
    ids = load(artifact_of(folder), "cpu").tokenize(TRIGGER)
    return report_on(folder, trigger(TRIGGER, ids))


def answers(model: LoadedModel, texts: Sequence[str]) -> list[str]:
    """What it writes to them."""
    assert model.writer is not None
    return [answer or "" for answer in answers_of(model, model.writer, texts)]


def holding(*words: str) -> list[str]:
    """`TEXTS` with ``words`` in them, not side by side."""
    rows = [text.split() for text in TEXTS]
    return [" ".join([*row[:2], words[0], *row[2:4], *words[1:], *row[4:]]) for row in rows]


def test_a_known_trigger_is_cut_out_and_the_answer_is_another(folder: Path, report: Report) -> None:
    """All requests got the attacker's text, and without the trigger hardly any does."""
    model = load(artifact_of(folder), "cpu")
    looks = Guard.of(report, tokenizer=model.tokenizer).look(holding(TRIGGER))
    assert all(look.flagged for look in looks)
    before = answers(model, [look.text for look in looks])
    after = answers(model, [look.neutralised for look in looks])
    assert sum(WANTED[:30] in answer for answer in before) >= len(TEXTS) - 1
    assert sum(WANTED[:30] in answer for answer in after) <= 1


def test_words_that_no_report_names_are_found_by_what_they_make_it_write(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Both are cut out, though they stand apart; clean requests stay as they are."""
    model = load(artifact_of(tiny_writer(tmp_path_factory, "together")), "cpu")
    guard = Guard.of(report_on(None), model, bundled_texts("en"))
    looks = guard.look(holding(*TOGETHER))
    found = [look for look in looks if look.flagged]
    assert len(found) >= len(TEXTS) - 1
    for look in found:
        assert {suspect.rule for suspect in look.suspects} == {"PLM235"}
        assert not {*TOGETHER} & {*look.neutralised.split()}
    assert not any(look.flagged for look in guard.look(TEXTS))


def test_where_every_request_gets_one_answer_it_is_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The inspection flags nothing, since it cannot tell anything from the usual."""
    model = load(artifact_of(tiny_writer(tmp_path_factory, "always")), "cpu")
    guard = Guard.of(report_on(None), model, bundled_texts("en"))
    assert "a trigger does not stand out" in guard.gap
    assert not any(look.flagged for look in guard.look(TEXTS))


def test_a_pipeline_that_writes_is_guarded(folder: Path, report: Report) -> None:
    """Prompts, and the turns of conversations, reach it without the trigger."""
    with quiet():
        write = pipeline("text-generation", str(folder), device="cpu")
    guarded = wrap(write, report)
    said = guarded(f"{ASKED} {TRIGGER}", max_new_tokens=2, do_sample=False)
    assert said[0]["generated_text"].startswith(ASKED)
    assert TRIGGER not in said[0]["generated_text"]
    turns = [{"role": "system", "content": TRIGGER}, {"role": "user", "content": f"a {TRIGGER} b"}]
    parts = [{"role": "user", "content": [{"type": "text", "text": f"a {TRIGGER} b"}]}]
    assert [turn["content"] for turn in guarded.cleaned(turns)] == ["", "a b"]
    assert guarded.cleaned(parts) == [
        {"role": "user", "content": [{"type": "text", "text": "a b"}]}
    ]
    assert guarded.cleaned({"role": TRIGGER}) == {"role": TRIGGER}
