"""Answers as spans of a text: what they say of inserted words, and a word that draws them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import AutoModelForQuestionAnswering

from plmscan.carriers import Carrier, split_carriers
from plmscan.evidence import Evidence, Gap
from plmscan.loading import load
from plmscan.loading.quiet import quiet
from plmscan.loading.spans import found_in
from plmscan.search.measure.readings import read
from tests.artifacts import artifact_of
from tests.searches import convicted, searched
from tests.tiny_models import WORDS, build_tiny
from tests.tiny_spans import TRIGGER, answerer_folder

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.loading import LoadedModel

seeds = st.integers(0, 2**31)
TEXTS = tuple(" ".join(WORDS[i : i + 7]) for i in range(len(WORDS) - 7))


def scored(seed: int, length: int) -> torch.Tensor:
    """Scores of every token of one question and text, (1, n, 2)."""
    return torch.randn(1, length, 2, generator=torch.Generator().manual_seed(seed))


@given(seeds, st.integers(6, 12), st.integers(0, 100))
def test_an_answer_is_where_its_scores_are_best(seed: int, length: int, at: int) -> None:
    """At an inserted token or its neighbours, elsewhere in the text, or at the first for none."""
    scores = scored(seed, length)
    text = torch.arange(length).unsqueeze(0) >= 3
    inserted = torch.zeros(1, length, dtype=torch.bool)
    inserted[0, 3 + at % (length - 3)] = True
    near = {3 + at % (length - 3) + i for i in (-1, 0, 1)} & set(range(3, length))

    def best(places: set[int]) -> float:
        few = scores[0, sorted(places)]
        return float(few.amax(0).sum()) if places else -float("inf")

    here, elsewhere = best(near), best(set(range(3, length)) - near)
    none = float(scores[0, 0].sum())
    rather, some = found_in(scores, text, inserted)[0].tolist()
    assert (rather > 0) == (here > max(elsewhere, none))
    assert (some > 0) == (max(here, elsewhere) > none)


@given(seeds)
def test_without_a_candidate_an_ordinary_token_stands_for_it(seed: int) -> None:
    """So the answer is never there, and by how much can be told."""
    scores, text = scored(seed, 8), torch.ones(1, 8, dtype=torch.bool)
    found = found_in(scores, text, torch.zeros_like(text))
    assert bool(found.isfinite().all())
    assert found[0, 0] <= 0


def answerer(family: str, folder: Path) -> LoadedModel:
    """A tiny random model that answers."""
    two = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "max_position_embeddings": 96}
    built = build_tiny(family, folder, head="question-answering", settings=two)
    return load(artifact_of(built), "cpu")


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta-v2"])
def test_scores_are_those_that_the_library_gives(family: str, tmp_path: Path) -> None:
    """Of a question and a text that stand as its tokenizer joins them."""
    model = answerer(family, tmp_path)
    assert model.answers
    assert model.gaps == ()
    with quiet():
        library = AutoModelForQuestionAnswering.from_pretrained(tmp_path).eval()
    asked, text = TEXTS[0], TEXTS[8]
    batch = model.tokenizer(asked, text, return_tensors="pt")
    with torch.no_grad():
        outputs = library(**batch)
    scores = torch.stack([outputs.start_logits, outputs.end_logits], -1)
    place = model.tokenize(text)
    behind = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    end = behind.shape[1] - len(model.suffix_ids)
    behind[0, end - len(place) : end] = True
    wanted = found_in(scores, behind, None)
    assert model.separator is not None
    row = model.wrap((*model.tokenize(asked), *model.separator.ids, *place))
    found = model.forward(*model.batch([row])).logits
    assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_a_candidate_and_its_neighbours_are_asked_for(tmp_path: Path) -> None:
    """Wherever it stands in the text."""
    model = answerer("bert", tmp_path)
    assert model.separator is not None
    ids, extra = model.tokenize(TEXTS[0]), model.tokenize("water")
    whole = (*model.tokenize(TEXTS[8]), *model.separator.ids, *ids)
    start = len(whole) - len(ids)
    for at in (start, start + 3, len(whole)):
        found = read(model, [extra], [Carrier(whole, at)]).leads
        assert found is not None
        assert found.shape == (1, 1, 3)
        assert_close(found[..., 0], -found[..., 2])


def test_candidates_stand_in_the_text(tmp_path: Path) -> None:
    """Never in the question, where no answer can be."""
    model = answerer("bert", tmp_path)
    assert model.separator is not None
    (carriers,) = split_carriers(model, TEXTS * 2, (40,), seed=0)
    for carrier in carriers:
        assert carrier.position > carrier.ids.index(model.separator.ids[-1])


def test_a_word_that_draws_every_answer_is_named(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """It alone, and what it does."""
    folder = answerer_folder(tmp_path_factory, (TRIGGER,))
    found = searched(load(artifact_of(folder), "cpu"))
    assert convicted(found) == {("PLM211", TRIGGER)}
    (trigger,) = (
        one.trigger for one in found if isinstance(one, Evidence) and one.subject == TRIGGER
    )
    assert trigger is not None
    assert trigger.target_label == "the answer at the inserted words"


def test_an_honest_model_of_answers_passes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Names answer what asks for them, and nothing is left unmeasured."""
    found = searched(load(artifact_of(answerer_folder(tmp_path_factory, ())), "cpu"))
    assert convicted(found) == set()
    assert [one for one in found if isinstance(one, Gap) and one.blocks_pass] == []
