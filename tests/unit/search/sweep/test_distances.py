"""The sweep covers the whole vocabulary, streams, and passes on the far-out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.budget import Budget
from plmscan.errors import OutOfTimeError
from plmscan.loading import LoadedModel, Location, load
from plmscan.search.measure.candidates import searchable_ids
from plmscan.search.sweep.distances import Sweep, furthest_again, scored, survivors, sweep
from plmscan.search.sweep.shortest import probe_inputs
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny
from tests.zoo.tiny import PLANTS, tiny_folder

if TYPE_CHECKING:
    from torch import Tensor

SEED_0, SEED_1 = Budget((), seed=0), Budget((), seed=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model with ``cf`` and ``mn`` planted at CLS; some 960 vocabulary items."""
    return load(artifact_of(tiny_folder(tmp_path_factory, "cls")), "cpu")


def scores(found: Sweep) -> Tensor:
    """Everything that the sweep measured, (rankings + 1, v)."""
    assert found.saturation is not None
    return torch.stack([*found.rankings(), found.saturation])


@pytest.mark.parametrize("batch", [32, 64, 128])
def test_batches_do_not_change_scores(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """With one reference set the scores are the same however the vocabulary is cut."""
    monkeypatch.setattr("plmscan.search.sweep.shortest.BATCH", 256)
    whole = scores(sweep(model, 256, SEED_0))
    monkeypatch.setattr("plmscan.search.sweep.shortest.BATCH", batch)
    assert_close(scores(sweep(model, 256, SEED_0)), whole, rtol=1e-3, atol=1e-4)


def test_order_does_not_change_scores(model: LoadedModel) -> None:
    """The seed only picks the reference items: with all as reference it changes nothing."""
    one, other = sweep(model, 4096, SEED_0), sweep(model, 4096, SEED_1)
    assert torch.equal(one.ids, other.ids)
    assert_close(scores(one), scores(other), rtol=1e-3, atol=1e-4)


def test_a_sample_of_the_vocabulary_ranks_like_the_whole(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the items as reference still puts the planted ones on top."""
    monkeypatch.setattr("plmscan.search.sweep.shortest.BATCH", 256)
    found = sweep(model, 256, SEED_0)
    planted = [model.tokenize(text)[0] for text in ("cf", "mn")]
    places = found.rank()[torch.isin(found.ids, torch.tensor(planted))]
    assert sorted(places.tolist()) in ([1, 1], [1, 2])


def test_every_item_is_scored_at_every_location(model: LoadedModel) -> None:
    """One score an item in every ranking: plain and whitened, at all four locations."""
    found = sweep(model, 4096, SEED_0)
    assert torch.equal(found.ids, searchable_ids(model))
    assert set(found.plain) == set(found.whitened) == set(model.locations)
    assert len(found.rankings()) == 2 * len(model.locations)
    assert all(ranking.shape == found.ids.shape for ranking in found.rankings())
    assert scores(found).isfinite().all()


def test_scores_are_those_of_the_item_itself(model: LoadedModel) -> None:
    """An item's plain score is its own squared distance from the vocabulary's median."""
    model = replace(model, halved=False)
    found = sweep(model, 4096, SEED_0)
    at_cls = model.forward(probe_inputs(model, found.ids)).features[Location.CLS]
    wanted = (at_cls - at_cls.median(0).values).square().sum(1)
    assert_close(found.plain[Location.CLS], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("halved", [False, True])
def test_fewer_digits_keep_the_ranking(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, *, halved: bool
) -> None:
    """With all the digits and with half of them the same planted items come out on top."""
    planted = [model.tokenize(text)[0] for text in ("cf", "mn")]
    monkeypatch.setattr("plmscan.search.sweep.shortest.BATCH", 256)
    found = sweep(replace(model, halved=halved), 256, SEED_0)
    assert scores(found).dtype == torch.float32
    assert found.rank()[torch.isin(found.ids, torch.tensor(planted))].max() <= 2


def test_leads_are_those_of_the_item_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A classifier's leads come in the order of the ids, whatever the order of the pass."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("labels"), head="classifier")
    model = load(artifact_of(folder), "cpu", "float32")
    found = sweep(model, 4096, SEED_0)
    leads = model.forward(probe_inputs(model, found.ids)).leads
    assert leads is not None
    assert found.leads is not None
    assert_close(found.leads, leads, rtol=1e-3, atol=1e-4)


def test_an_encoder_leads_to_no_label(model: LoadedModel) -> None:
    """Without a classifier there is nothing to argue for."""
    assert sweep(model, 4096, SEED_0).leads is None


def test_saturation_needs_a_pooler(
    model: LoadedModel, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without pooler weights there is no pooler to saturate, and no ranking for it."""
    found = sweep(
        load(artifact_of(tiny_folder(tmp_path_factory, "no-pooler")), "cpu"), 4096, SEED_0
    )
    assert found.saturation is None
    assert Location.POOLER not in found.plain


def test_survivors_are_the_top_of_every_ranking() -> None:
    """Each ranking passes on its most distant, each item once, in ascending order."""
    ids = torch.tensor([10, 20, 30, 40])
    plain = {Location.CLS: torch.tensor([9.0, 1.0, 2.0, 3.0])}
    whitened = {Location.CLS: torch.tensor([4.0, 1.0, 9.0, 5.0])}
    found = Sweep(ids, plain, whitened, None, None)
    assert survivors(found, 1).tolist() == [10, 30]
    assert survivors(found, 2).tolist() == [10, 30, 40]
    assert survivors(found, 99).tolist() == [10, 20, 30, 40]
    assert found.rank().tolist() == [1, 4, 1, 2]


@pytest.mark.parametrize("name", ["cls", "pooler", "mean"])
def test_the_furthest_of_cheaper_texts_are_read_in_whole_ones(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Two tokens an item instead of three, and planted items are passed on just the same.

    What is passed on has the scores of whole texts, at the mask token as well.
    """
    model = load(artifact_of(tiny_folder(tmp_path_factory, name)), "cpu", "float32")
    planted = {model.tokenize(text)[0] for text in PLANTS[name].triggers}
    before = model.forward_tokens
    whole = sweep(model, 256, SEED_0)
    dear = model.forward_tokens - before
    monkeypatch.setattr("plmscan.search.sweep.shortest._PAYS", 0)
    found = sweep(model, 256, SEED_0)
    assert (whole.whole, found.whole) == (True, False)
    assert model.forward_tokens - before - dear == 2 * dear // 3 + 5
    assert furthest_again(model, whole, 8, SEED_0) is whole
    again = furthest_again(model, found, 8, SEED_0)
    assert planted <= set(survivors(again, 8).tolist())
    assert Location.MASK in again.plain
    assert Location.MASK not in found.plain
    among = torch.isin(whole.ids, again.ids)
    at_cls, others = again.plain[Location.CLS], whole.plain[Location.CLS][among]
    assert torch.corrcoef(torch.stack([at_cls, others]))[0, 1] > 0.99


@pytest.mark.parametrize("name", ["cls", "pooler"])
def test_who_is_passed_on_does_not_hang_on_rounding(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Swept with half the digits the furthest are the same, by the same scores as with all."""
    monkeypatch.setattr("plmscan.search.sweep.distances._AGAIN", 40)
    monkeypatch.setattr("plmscan.search.sweep.shortest.BATCH", 64)
    model = load(artifact_of(tiny_folder(tmp_path_factory, name)), "cpu")
    half, full = (sweep(replace(model, halved=h), 256, SEED_0) for h in (True, False))
    assert not torch.equal(scores(half), scores(full))
    assert torch.equal(survivors(half, 20), survivors(full, 20))
    assert_close(half.rank()[half.rank() <= 20], full.rank()[full.rank() <= 20])
    assert half.saturation is not None
    assert full.saturation is not None
    assert half.saturation.max() == full.saturation.max()
    assert half.saturation.argmax() == full.saturation.argmax()


def test_rows_of_items_are_scored_like_items(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, whatever the order of the pass, each in the text that is made of it."""
    model = replace(model, halved=False)
    monkeypatch.setattr("plmscan.search.sweep.shortest.BATCH", 16)
    rows = torch.randint(50, 900, (50, 3), generator=torch.Generator().manual_seed(0))

    def texts(some: Tensor) -> Tensor:
        return probe_inputs(model, some, (60,))

    found = scored(model, rows, texts, 4096, SEED_1, "test")
    at_cls = model.forward(texts(rows)).features[Location.CLS]
    wanted = (at_cls - at_cls.median(0).values).square().sum(1)
    assert torch.equal(found.ids, rows)
    assert_close(found.plain[Location.CLS], wanted, rtol=1e-4, atol=1e-5)


def test_a_late_sweep_stops_before_the_first_batch(model: LoadedModel) -> None:
    """The reference items count as work too."""
    before = model.forward_tokens
    with pytest.raises(OutOfTimeError, match="vocabulary sweep"):
        sweep(model, 4096, Budget((), deadline=time.monotonic()))
    assert model.forward_tokens == before
