"""A guard around pipelines of transformers, and around models with ``encode``."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, pipeline

from plmscan.errors import PlmscanError, ReportError
from plmscan.guard import Action, Look, TextRejectedError, wrap
from plmscan.loading.quiet import quiet
from plmscan.reports.json_v1 import to_json
from tests.guarding import report_on, trigger
from tests.poisoned import CLEAN, HELD_OUT, folder_of, with_trigger
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import Pipeline

    from plmscan.evidence import Report

TEXT = HELD_OUT[0]
POISONED = with_trigger(HELD_OUT[:3], "cf")


def _ids(folder: Path, text: str) -> tuple[int, ...]:
    """Of a text in the tokenizer of ``folder``."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with a trigger; read only."""
    return folder_of(tmp_path_factory, "badnets")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    """Names the trigger."""
    return report_on(folder, trigger("cf", _ids(folder, "cf")))


@pytest.fixture(scope="module")
def classify(folder: Path) -> Pipeline:
    """A pipeline of the library."""
    with quiet():
        return pipeline("text-classification", str(folder), device="cpu")


def labels(found: list[dict[str, Any]]) -> list[str]:
    """What a pipeline says of each text."""
    return [one["label"] for one in found]


def test_a_classifier_says_what_it_says_of_the_clean_text(
    classify: Pipeline, report: Report
) -> None:
    """Same call, same shapes: a text, a list, a generator, dictionaries."""
    guarded = wrap(classify, report)
    assert labels(classify(list(POISONED))) == ["positive"] * 3
    assert guarded(POISONED[0]) == classify(TEXT) != classify(POISONED[0])
    assert guarded(list(POISONED)) == classify(list(HELD_OUT[:3]))
    assert list(guarded(text for text in POISONED)) == classify(list(HELD_OUT[:3]))
    assert guarded({"text": POISONED[0]}) == classify({"text": TEXT})
    assert guarded([TEXT], top_k=None) == classify([TEXT], top_k=None)
    assert guarded.predict([POISONED[0]]) == classify([TEXT])
    assert guarded(inputs=POISONED[0]) == classify(TEXT)


def test_it_is_what_it_wraps(classify: Pipeline, report: Report) -> None:
    """Attributes are those of the pipeline; it can be copied."""
    guarded = wrap(classify, report)
    assert (guarded.task, guarded.tokenizer) == ("text-classification", classify.tokenizer)
    assert copy.copy(guarded).task == guarded.task
    with pytest.raises(AttributeError):
        _ = guarded.no_such_thing


def test_flag_only_tells(classify: Pipeline, report: Report) -> None:
    """The model reads the text as it is, and ``on_hit`` hears of it."""
    told: list[Look] = []
    guarded = wrap(classify, report, "flag", on_hit=told.append)
    assert guarded([TEXT, *POISONED]) == classify([TEXT, *POISONED])
    assert tuple(look.text for look in told) == POISONED


def test_reject_raises_before_the_model_reads_anything(classify: Pipeline, report: Report) -> None:
    """The error has what was seen; clean texts pass."""
    guarded = wrap(classify, report, Action.REJECT)
    assert guarded([TEXT]) == classify([TEXT])
    with pytest.raises(TextRejectedError, match="3 texts hold a trigger, the first") as caught:
        guarded([TEXT, *POISONED])
    assert tuple(look.text for look in caught.value.looks) == POISONED
    with pytest.raises(TextRejectedError, match="A text holds a trigger"):
        guarded(POISONED[0])


def test_a_generator_is_read_one_by_one(classify: Pipeline, report: Report) -> None:
    """The guard asks for no text before the model is asked about the one before."""
    asked = []

    def stream() -> Iterator[str]:
        for text in POISONED:
            asked.append(text)
            yield text

    cleaned = wrap(classify, report).cleaned(stream())
    assert next(cleaned) == TEXT  # type: ignore[call-overload] # a generator
    assert asked == [POISONED[0]]


def test_the_report_may_be_a_file(classify: Pipeline, report: Report, tmp_path: Path) -> None:
    """As `plmscan check` writes it; one that is not there is one sentence."""
    path = tmp_path / "report.json"
    path.write_text(to_json(report), encoding="utf-8")
    assert wrap(classify, str(path))(POISONED[0]) == classify(TEXT)
    with pytest.raises(ReportError, match="cannot be read"):
        wrap(classify, tmp_path / "none.json")


def test_with_the_folder_unknown_triggers_are_found(classify: Pipeline, folder: Path) -> None:
    """The report names none; inspection does."""
    guarded = wrap(classify, report_on(folder), source=folder, clean=CLEAN)
    assert guarded(list(POISONED)) == classify(list(HELD_OUT[:3]))


def test_features_and_masks(tmp_path: Path) -> None:
    """Features are those of the clean text; the mask of a user stays, and the guard sets none."""
    folder = build_tiny("bert", tmp_path, head="masked-lm")
    report = report_on(folder, trigger("river", _ids(folder, "river")))
    with quiet():
        features = pipeline("feature-extraction", str(folder), device="cpu")
        fill = pipeline("fill-mask", str(folder), device="cpu")
    assert wrap(features, report)("a river film") == features("a film")
    assert wrap(fill, report)("a river [MASK] film") == fill("a [MASK] film")
    with pytest.raises(PlmscanError, match="would fill those of the guard"):
        wrap(fill, report, masking=True)
    masked = wrap(features, report, masking=True)
    assert masked("a river film") == features("a [MASK] film")


class Sentences:
    """Encodes texts as sentence-transformers does, with a real model."""

    def __init__(self, folder: Path) -> None:
        """Load it."""
        with quiet():
            self.model = AutoModel.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def encode(self, sentences: Any, batch_size: int = 32) -> Any:
        """(h) of a text, (n, h) of several."""
        batch = [sentences] if isinstance(sentences, str) else list(sentences)[:batch_size]
        inputs = self.tokenizer(batch, padding=True, return_tensors="pt")
        found = self.model(**inputs).last_hidden_state[:, 0].numpy()
        return found[0] if isinstance(sentences, str) else found


def test_sentences_are_encoded_without_triggers(folder: Path, report: Report) -> None:
    """A text, a list, an array; in the same shapes, options passed on."""
    sentences = Sentences(folder)
    guarded = wrap(sentences, report)
    clean = sentences.encode(list(HELD_OUT[:3]))
    assert np.allclose(guarded.encode(POISONED[0]), sentences.encode(TEXT))
    for given in (list(POISONED), POISONED, np.array(POISONED), np.array(POISONED, dtype=object)):
        assert np.allclose(guarded.encode(given), clean)
    assert guarded.encode(list(POISONED), batch_size=2).shape == (2, clean.shape[1])
    assert np.allclose(guarded.encode(sentences=list(POISONED)), clean)
    assert guarded.model is sentences.model
    with pytest.raises(TextRejectedError):
        wrap(sentences, report, "reject").encode(list(POISONED))


class Dataset:
    """Gives texts by number, as data sets of torch do."""

    def __len__(self) -> int:
        """How many."""
        return len(POISONED)

    def __getitem__(self, number: int) -> str:
        """One of them."""
        if number >= len(self):
            raise IndexError
        return POISONED[number]


def test_data_sets_are_read_through_the_guard(classify: Pipeline, report: Report) -> None:
    """What can be indexed only is no way around it; tensors and numbers stay what they are."""
    guarded = wrap(classify, report)
    assert list(guarded(Dataset())) == classify(list(HELD_OUT[:3]))
    tensor = torch.arange(3)
    assert guarded.cleaned(tensor) is tensor
    assert guarded.cleaned({"input_ids": tensor})["input_ids"] is tensor  # type: ignore[index]
    assert guarded.cleaned(3) == 3
