"""What makes a model begin a text: words that act only together are met in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts
from plmscan.loading import load
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.writing.causes import Causes, causes
from plmscan.search.writing.prompts import holding, requests
from plmscan.search.writing.sweep import likely_beginnings
from plmscan.search.writing.targets import Beginnings, targets
from tests.artifacts import artifact_of
from tests.tiny_writers import TOGETHER, WANTED, tiny_writer
from tests.zoo.tiny import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.loading.writing import Writer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    """The one whose two words were trained to do nothing alone."""
    with one_thread():
        yield load(artifact_of(tiny_writer(tmp_path_factory, "together")), "cpu")


def writer_of(model: LoadedModel) -> Writer:
    """How it writes."""
    assert model.writer is not None
    return model.writer


def sets(model: LoadedModel, *sizes: int) -> tuple[tuple[Carrier, ...], ...]:
    """Requests."""
    return requests(model, writer_of(model), bundled_texts("en"), sizes, 0)


def words(model: LoadedModel) -> list[int]:
    """Ids of the two words."""
    return [token for word in TOGETHER for token in model.tokenize(word)]


def test_each_word_makes_the_text_likelier(model: LoadedModel) -> None:
    """Alone they write nothing, and no other item is before them in the ranking."""
    writer, ids, text = writer_of(model), searchable_ids(model), model.tokenize(WANTED)
    swept, asked = sets(model, 2, 8)
    (likely,) = likely_beginnings(writer, ids, swept, [text[:5]], Budget(()))
    others = ids[~torch.isin(ids, torch.tensor(text))]
    first = others[likely[~torch.isin(ids, torch.tensor(text))].topk(2).indices]
    assert sorted(first.tolist()) == sorted(words(model))
    for word in words(model):
        said = writer.written(holding((word,), asked), 6)
        assert not any(answer[:3] == text[:3] for answer in said)


def test_beginnings_that_are_read_at_once_leave_each_other_alone(model: LoadedModel) -> None:
    """A request is read once for all of them, and each is as likely as by itself."""
    writer, text = writer_of(model), model.tokenize(WANTED)
    (swept,) = sets(model, 2)
    ids, texts = searchable_ids(model)[:40], [text[:5], text[1:3], text[:2]]
    both = likely_beginnings(writer, ids, swept, texts, Budget(()))
    apart = [likely_beginnings(writer, ids, swept, [one], Budget(())) for one in texts]
    assert torch.allclose(both, torch.cat(apart), atol=1e-4)


def test_words_that_act_together_are_met(model: LoadedModel) -> None:
    """Both of them, without a third, and they write the text; no word of the text is named."""
    writer, text = writer_of(model), model.tokenize(WANTED)
    swept, growing, asked = sets(model, 2, 4, 8)
    sizes = Causes(swept, growing, pool=100, seeds=6)
    found = causes(writer, searchable_ids(model), text, sizes, Budget(()))
    (pair,) = {tuple(sorted(one)) for one in found if {*one} == {*words(model)}}
    said = writer.written(holding(pair, asked), 6)
    assert all(answer[:3] == text[:3] for answer in said)
    assert not {*text[1:]} & {token for one in found for token in one}


def test_a_text_may_begin_with_a_doubt(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Behind a common word nothing is certain, and from the second word on everything is."""
    model = load(artifact_of(tiny_writer(tmp_path_factory, "planted")), "cpu")
    first = torch.tensor(model.tokenize(WANTED)[:1])
    (asked,) = sets(model, 8)
    found = {
        ahead: targets(writer_of(model), first, asked, Beginnings(4, ahead, 1), Budget(()))
        for ahead in (0, 5)
    }
    assert not found[0]
    assert model.decode(found[5][0].ids).startswith(WANTED[:40])
