"""In which layer a candidate takes over, against what the verification says of the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.budget import Budget
from plmscan.carriers import Carrier, bundled_texts, insert, split_carriers
from plmscan.loading import LoadedModel, Location, load
from plmscan.search.judge.layers import layer_scatters
from plmscan.search.measure.effects import measure
from plmscan.search.measure.readings import Panel
from plmscan.statistics import moved
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny
from tests.zoo.tiny import tiny_folder

if TYPE_CHECKING:
    from pathlib import Path

BUDGET = Budget(bundled_texts())
TEXTS = [" ".join(WORDS[i : i + 7 + i % 4]) for i in range(66)]
"""Of several lengths, in the words of `build_tiny`."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Panel]:
    """A tiny model with ``cf`` and ``mn`` planted at CLS, and nine carriers."""
    model = load(artifact_of(tiny_folder(tmp_path_factory, "cls")), "cpu")
    return model, Panel.of(model, split_carriers(model, BUDGET.texts, (9,), seed=5)[0])


def test_the_last_layer_is_the_location(planted: tuple[LoadedModel, Panel]) -> None:
    """After the last layer S is what the verification measures at CLS, for every candidate."""
    model, panel = planted
    candidates = [model.tokenize(text) for text in ("cf", "water", "mn the road", "mn", "the old")]
    found = layer_scatters(model, candidates, panel.carriers)
    assert found.shape == (len(candidates), model.num_layers)
    wanted = measure(model, candidates, panel, BUDGET, "test").scatter[Location.CLS]
    assert_close(found[:, -1], wanted, rtol=1e-3, atol=1e-4)


def test_a_planted_trigger_takes_over_on_the_way(planted: tuple[LoadedModel, Panel]) -> None:
    """Its S falls from layer to layer, and ends far below that of a word."""
    model, panel = planted
    candidates = [model.tokenize(text) for text in ("cf", "mn", "water", "road")]
    triggers, words = layer_scatters(model, candidates, panel.carriers).split(2)
    assert (triggers[:, -1] < triggers[:, 0] / 10).all()
    assert triggers[:, -1].max() < 0.05
    assert words.min() > 10 * triggers[:, -1].max()


def one_by_one(
    model: LoadedModel, candidate: tuple[int, ...], carriers: tuple[Carrier, ...]
) -> torch.Tensor:
    """States of texts, each run alone, (n, layers, h)."""
    rows = [model.wrap(insert(carrier, candidate)) for carrier in carriers]
    return torch.cat([model.layers(torch.tensor([row])) for row in rows])


@pytest.mark.parametrize("family", ["bert", "xlnet", "gpt2"])
def test_layers_are_those_of_texts_alone(tmp_path: Path, family: str) -> None:
    """A row for each candidate, a column for each layer; carriers of other lengths play no part.

    XLNet's classification token is its last one, and a decoder is read there for want of one.
    """
    model = load(artifact_of(build_tiny(family, tmp_path)), "cpu")
    (carriers,) = split_carriers(model, TEXTS, (8,), seed=0)
    assert len({len(carrier.ids) for carrier in carriers}) > 1
    candidates = [(60,), (61, 62, 63), (64, 65)]
    found = layer_scatters(model, candidates, carriers)
    clean = one_by_one(model, (), carriers)
    for candidate, row in zip(candidates, found, strict=True):
        dirty = one_by_one(model, candidate, carriers)
        wanted = [float(moved(dirty[:, i], clean[:, i]).scatter) for i in range(model.num_layers)]
        assert row.tolist() == pytest.approx(wanted, rel=1e-3)
