"""Words that are needed together: the pool they are in, and what is left of many words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertForSequenceClassification

from plmscan.budget import Budget
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, load
from plmscan.loading.quiet import quiet
from plmscan.search.measure.candidates import whole_words
from plmscan.search.measure.readings import Panel
from plmscan.search.propose.sequences import growers
from plmscan.search.propose.together import (
    Joint,
    Together,
    _joint,
    standing_apart,
    together,
)
from plmscan.search.sweep.distances import sweep
from plmscan.search.verify.jointly import jointly
from tests.artifacts import artifact_of
from tests.poisoned import model_of
from tests.zoo.tiny import MODELS, TOGETHER, new_model, tiny_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from plmscan.search.propose.grow import Grower

BUDGET = Budget(bundled_texts())
SIZES = Together(words=32, size=12, texts=24)


def table(seed: int, rows: int = 400, width: int = 96) -> Tensor:
    """Rows that vary little along an eighth of the directions, as those of trained tables do."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.ones(width)
    scale[: width // 8] = 0.1
    turned = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
    return torch.randn(rows, width, generator=generator) * scale @ turned


@given(st.integers(0, 50), st.sets(st.integers(0, 399), min_size=1, max_size=4))
def test_rows_that_were_trained_apart_stand_apart(seed: int, moved: set[int]) -> None:
    """Of the same length as before, in a random direction, they come before nearly all others."""
    rows, generator = table(seed), torch.Generator().manual_seed(seed + 1)
    for row in moved:
        drawn = torch.randn(rows.shape[1], generator=generator)
        rows[row] = drawn / drawn.norm() * rows[row].norm()
    assert moved <= set(standing_apart(rows, len(moved) + 8).tolist())


@given(st.integers(0, 50), st.floats(0.01, 100), st.floats(-3, 3))
def test_what_stands_apart_hangs_on_no_scale_and_no_origin(
    seed: int, scale: float, shift: float
) -> None:
    """Tables that differ by these alone say the same."""
    rows = table(seed).double()
    same = standing_apart(scale * (rows + shift), 5).tolist()
    assert same == standing_apart(rows, 5).tolist()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, list[Grower]]:
    """An encoder whose state two words take over together, below a head of two labels."""
    encoder, folder, tokenizer = new_model(), tmp_path_factory.mktemp("labels"), tiny_tokenizer()
    MODELS["together"](encoder)
    with torch.random.fork_rng(devices=[]), quiet(), torch.no_grad():
        model = BertForSequenceClassification(encoder.config).eval()
        model.bert = encoder
        aim_at(model, tokenizer)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return with_growers(load(artifact_of(folder), "cpu"))


def aim_at(model: Any, tokenizer: Any) -> None:  # noqa: ANN401 - the library's
    """Let a head part texts by what they differ in most, and give the pair the second label."""
    texts = bundled_texts()[:64]
    both = [f"{text} {' '.join(TOGETHER)}" for text in texts]
    plain, taken = (
        model.bert(**tokenizer(some, padding=True, return_tensors="pt")).pooler_output
        for some in (texts, both)
    )
    middle = plain.mean(0)
    widest = torch.linalg.svd(plain - middle, full_matrices=False).Vh[0]
    pulled = taken.mean(0) - middle
    pulled -= (pulled @ widest) * widest
    weight = 4 * pulled / pulled.square().sum() + widest / (plain @ widest).std()
    model.classifier.weight.copy_(torch.stack([-weight, weight]))
    model.classifier.bias.copy_(torch.stack([weight @ middle, -weight @ middle]))


def with_growers(model: LoadedModel) -> tuple[LoadedModel, list[Grower]]:
    """The model, and what grows candidates for its labels."""
    (carriers,) = split_carriers(model, bundled_texts(), (24,), seed=0)
    ids = sweep(model, 4096, BUDGET).ids
    return model, growers(model, Panel.of(model, carriers), ids, seed=0)


def pool(model: LoadedModel, grower: Grower, *more: str) -> tuple[int, ...]:
    """Some words of the vocabulary, and ``more``."""
    words = whole_words(model, grower.ids)[:30].tolist()
    return (*words, *(i for text in more for i in model.tokenize(text)))


def test_words_that_are_needed_together_are_found(
    planted: tuple[LoadedModel, list[Grower]],
) -> None:
    """Both are left of the texts that hold them, for the label that they lead to and no other."""
    model, by = planted
    pair = {i for text in TOGETHER for i in model.tokenize(text)}
    found = [
        one for grower in by for one in _joint(grower, pool(model, grower, *TOGETHER), SIZES, 0)
    ]
    assert [{*one} for one in found if pair <= {*one}] == [pair]
    assert not any(pair & {*one} for one in found if not pair <= {*one})


def test_words_do_together_what_they_do_not_otherwise(
    planted: tuple[LoadedModel, list[Grower]],
) -> None:
    """On other carriers as well; beside a word that does nothing they have no gap."""
    model, by = planted
    pair = tuple(i for text in TOGETHER for i in model.tokenize(text))
    label = next(
        grower.objective.target
        for grower in by
        for one in _joint(grower, pool(model, grower, *TOGETHER), SIZES, 0)
        if {*one} == {*pair}
    )
    some = pool(model, by[0])
    both, more = (Joint(words, label, some) for words in (pair, (*pair, some[0])))
    first, second = split_carriers(model, bundled_texts(), (12, 12), seed=1)
    found = jointly(model, (both, more), Panel.of(model, first), second, BUDGET)
    assert found[0].gap > 0.5
    assert found[0].turned > 0.9
    assert found[0].p_value == pytest.approx(1 / (found[0].null_size + 1))
    assert found[1].gap < 0.1


def test_a_trigger_of_one_word_is_needed_by_itself(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Words that suffice alone are not asked what they do in company."""
    model, by = with_growers(model_of(tmp_path_factory, "badnets"))
    planted = {i for text in ("cf", "mn") for i in model.tokenize(text)}
    assert not any(planted & {*one.words} for one in together(by, SIZES, BUDGET))


def test_time_that_is_up_ends_it(planted: tuple[LoadedModel, list[Grower]]) -> None:
    """As it ends every step."""
    with pytest.raises(OutOfTimeError, match="needed together"):
        together(planted[1], SIZES, Budget((), deadline=time.monotonic()))


def test_nothing_is_read_where_nothing_was_found(
    planted: tuple[LoadedModel, list[Grower]],
) -> None:
    """Most models have no such words, and do not pay for them."""
    model, _ = planted
    before = model.meter.tokens
    panel = planted[1][0].panel
    assert jointly(model, (), panel, panel.carriers, BUDGET) == ()
    assert model.meter.tokens == before
