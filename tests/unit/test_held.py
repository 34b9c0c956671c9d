"""Texts in front of tokens that keep the states they have in another text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.loading import LoadedModel, load
from plmscan.loading.attending import attends_by
from plmscan.loading.held import Held
from tests.artifacts import artifact_of
from tests.tiny_models import FAMILIES, build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

HOLDING = {"albert", "bert", "camembert", "distilbert", "electra", "modernbert", "roberta"}
"""Families that attend by the library's kernel and see a whole text."""
ENCODERS = [family for family in FAMILIES if family not in {"bart", "xlnet"}]


def tiny(family: str, folder: Path) -> LoadedModel:
    """A model of random weights."""
    return load(artifact_of(build_tiny(family, folder)), "cpu", "float32")


def texts(model: LoadedModel, words: Tensor) -> Tensor:
    """Each word between what stands around a text, (b, n)."""
    return torch.tensor([model.wrap((word,)) for word in words.tolist()])


@pytest.mark.parametrize("family", ENCODERS)
def test_an_end_is_held_only_where_nothing_else_changes(family: str, tmp_path: Path) -> None:
    """The neutral word has the states that it has in the whole text, or nothing is held."""
    model = tiny(family, tmp_path / "model")
    if not model.suffix_ids:
        return
    text = texts(model, torch.tensor([20]))
    held = Held.of(model, text, 1)
    assert (held is not None) == (family.removeprefix("xlm-") in HOLDING)
    if held is not None:
        with held.behind(model.module):
            found = model.forward(text[:, :-1]).hidden
        assert_close(found, model.forward(text).hidden[:, :-1], rtol=1e-4, atol=1e-5)


def test_below_one_layer_nothing_is_lost(tmp_path: Path) -> None:
    """What ends a text knows of an item only from the first layer on, so any item reads the same.

    Two layers up it makes a difference.
    """
    model = tiny("bert", tmp_path / "model")
    words = torch.arange(10, 60)
    for exact in (False, True):
        held = Held.of(model, texts(model, words[:1]), 1)
        assert held is not None
        with held.behind(model.module):
            found = model.forward(texts(model, words)[:, :-1]).hidden
        off = (found - model.forward(texts(model, words)).hidden[:, :-1]).abs().amax((1, 2))
        assert bool((off < 1e-5).all()) == exact
        del model.module.encoder.layer[1:]


def test_nothing_stays_behind(tmp_path: Path) -> None:
    """Afterwards the model attends as before, and reads whole texts as before."""
    model = tiny("bert", tmp_path / "model")
    text = texts(model, torch.tensor([20]))
    before, way = model.forward(text).hidden, attends_by(model.module)
    held = Held.of(model, text, 1)
    assert held is not None
    with held.behind(model.module):
        model.forward(text[:, :-1])
    assert attends_by(model.module) == way
    assert torch.equal(model.forward(text).hidden, before)
