"""Which token a reading hangs on, in tiny random models."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
import torch
from torch.testing import assert_close

from plmscan.loading import LoadedModel, Location, load
from plmscan.saliency import Ordinary, Saliency, saliency
from tests.artifacts import artifact_of
from tests.tiny_models import WORDS, build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    Rows = list[tuple[int, ...]]

TEXTS = ("the good film", "a bad story of the old river, never read", "is ☃ late?", "blue")
CLOSE = {"rtol": 1e-4, "atol": 1e-6}

every_kind = pytest.mark.parametrize(
    ("family", "head"), list(product(["bert", "gpt2", "xlnet"], [None, "classifier"]))
)


def tiny(folder: Path, family: str = "bert", head: str | None = None) -> LoadedModel:
    """A tiny model of a family."""
    return load(artifact_of(build_tiny(family, folder, head=head)), "cpu")


def rows_of(model: LoadedModel) -> Rows:
    """Ids of `TEXTS`, of several lengths."""
    return [model.wrap(model.tokenize(text)) for text in TEXTS]


def ordinary_of(model: LoadedModel) -> Ordinary:
    """Where some texts lie that are none of `TEXTS`."""
    rows = [model.wrap(model.tokenize(" ".join(WORDS[i : i + 5]))) for i in range(20)]
    return Ordinary.of(model.forward(*model.batch(rows)).features)


def seen_in(model: LoadedModel, rows: Rows) -> list[Saliency]:
    """Saliency of each text."""
    return saliency(model, rows, ordinary_of(model))


def same(found: Saliency, wanted: Saliency) -> None:
    """Both say the same of one text."""
    assert found.ids == wanted.ids
    assert_close({**vars(found), "ids": None}, {**vars(wanted), "ids": None}, **CLOSE)


@every_kind
def test_the_words_share_all(tmp_path: Path, family: str, head: str | None) -> None:
    """Shares sum to 1, special tokens have none, and the top token has the largest."""
    model = tiny(tmp_path, family, head)
    for one, row in zip(seen_in(model, rows := rows_of(model)), rows, strict=True):
        assert one.ids == row
        assert one.share.sum().item() == pytest.approx(1)
        assert (one.share[one.content] > 0).all()
        assert one.share[~one.content].tolist() == [0] * (len(model.wrap(())))
        assert one.top is not None
        assert one.share[one.top] == one.share.max()


@every_kind
def test_company_changes_nothing(
    tmp_path: Path, family: str, head: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text has the same saliency alone, beside longer ones, in other order, in small batches."""
    model = tiny(tmp_path, family, head)
    rows = rows_of(model)
    together = seen_in(model, rows)
    turned = seen_in(model, rows[::-1])[::-1]
    monkeypatch.setattr("plmscan.saliency._BATCH", 3)
    few = seen_in(model, rows)
    for i, row in enumerate(rows):
        for other in (seen_in(model, [row])[0], turned[i], few[i]):
            same(other, together[i])


@every_kind
def test_attention_is_from_the_token_that_is_read(
    tmp_path: Path, family: str, head: str | None
) -> None:
    """The mean over all layers and heads of that token's row of the map."""
    model = tiny(tmp_path, family, head)
    row = rows_of(model)[1]
    maps = torch.cat(model.attend(torch.tensor([row])).maps)
    wanted = maps[:, :, model.reading_index(len(row))].mean((0, 1))
    assert_close(seen_in(model, [row])[0].attention, wanted, **CLOSE)
    assert wanted.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("head", [None, "classifier"])
def test_gradients_are_what_small_steps_do(tmp_path: Path, head: str | None) -> None:
    """Of the lead of the text's label; without labels, of the distance from ordinary texts.

    A step in each coordinate of a token's embedding and one back, in double precision.
    """
    model = tiny(tmp_path, head=head)
    for module in (model.module, *model.heads.values()):
        module.double()
    ordinary, row = ordinary_of(model), rows_of(model)[0]
    step = 1e-4

    def asked(embeddings: Tensor) -> Tensor:
        ids = torch.tensor([row]).expand(len(embeddings), -1)
        outputs = model.forward_embeddings(embeddings, ids)
        if outputs.leads is None:
            return ordinary.distance(outputs.features)
        return outputs.leads.amax(-1)

    embedding = model.embed(torch.tensor(row))
    slopes = []
    for at in range(len(row)):
        moves = torch.zeros(embedding.shape[1], *embedding.shape, dtype=torch.float64)
        moves[:, at] = step * torch.eye(embedding.shape[1], dtype=torch.float64)
        slopes.append((asked(embedding + moves) - asked(embedding - moves)) / (2 * step))
    (found,) = saliency(model, [row], ordinary)
    assert_close(found.gradient, torch.stack(slopes).norm(dim=1).float(), rtol=1e-3, atol=1e-6)


def test_leads_are_the_models(tmp_path: Path) -> None:
    """A classifier's, for each text; there are none without labels."""
    model = tiny(tmp_path / "classifier", head="classifier")
    rows = rows_of(model)
    found = [one.leads for one in seen_in(model, rows) if one.leads is not None]
    assert_close(torch.stack(found), model.forward(*model.batch(rows)).leads, **CLOSE)
    bare = tiny(tmp_path / "bare")
    assert [one.leads for one in seen_in(bare, rows_of(bare))] == [None] * len(TEXTS)


def test_the_unknown_token_is_content(tmp_path: Path) -> None:
    """What the vocabulary does not hold was written by a person; the tokens around it were not."""
    model = tiny(tmp_path)
    row = model.wrap(model.tokenize("the ☃ film"))
    assert model.tokenizer.unk_token_id in row
    assert seen_in(model, [row])[0].content.tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("ids", [(), (4,)], ids=["nothing", "a mask token"])
def test_a_text_without_content_has_no_top(tmp_path: Path, ids: tuple[int, ...]) -> None:
    """Where nobody wrote a word, nothing has a share."""
    model = tiny(tmp_path)
    (found,) = seen_in(model, [model.wrap(ids)])
    assert found.top is None
    assert found.share.tolist() == [0] * (len(ids) + 2)


def test_no_texts_have_no_saliency(tmp_path: Path) -> None:
    """An empty list gives an empty list."""
    assert seen_in(tiny(tmp_path), []) == []


def test_weights_get_no_gradient(tmp_path: Path) -> None:
    """The model is as it was, and what is found can be kept without its history."""
    model = tiny(tmp_path, head="classifier")
    found = seen_in(model, rows_of(model))
    parameters = [
        p for module in (model.module, *model.heads.values()) for p in module.parameters()
    ]
    assert all(p.grad is None for p in parameters)
    assert not any(one.gradient.requires_grad or one.attention.requires_grad for one in found)


def test_shares_by_hand() -> None:
    """Attention times gradient of each word, as a share of the whole."""
    one = Saliency(
        ids=(2, 7, 8, 3),
        attention=torch.tensor([0.5, 0.2, 0.1, 0.2]),
        gradient=torch.tensor([9.0, 1.0, 6.0, 9.0]),
        content=torch.tensor([False, True, True, False]),
        leads=None,
    )
    assert_close(one.share, torch.tensor([0.0, 0.25, 0.75, 0.0]))
    assert one.top == 2


def texts_at(*locations: Location) -> dict[Location, Tensor]:
    """Features of 50 texts, with another spread in each coordinate and location."""
    dice = torch.Generator().manual_seed(0)
    scales = torch.linspace(0.5, 2.0, 6)
    return {where: 3 + scales * torch.randn(50, 6, generator=dice) for where in locations}


def test_the_mean_is_no_distance_away() -> None:
    """An ordinary text's distance is half a variance a location on average; the mean's is 0."""
    features = texts_at(Location.CLS, Location.MEAN)
    ordinary = Ordinary.of(features)
    middle = {where: found.mean(0, keepdim=True) for where, found in features.items()}
    assert ordinary.distance(middle).tolist() == [0]
    assert ordinary.distance(features).mean().item() == pytest.approx(1, abs=0.05)


def test_distance_is_in_standard_deviations() -> None:
    """Two away in every coordinate is half of four, at each location, whichever way."""
    features = texts_at(Location.CLS, Location.MEAN)
    ordinary = Ordinary.of(features)
    away = {
        where: torch.stack([f.mean(0) + s * 2 * f.std(0) for s in (1, -1)])
        for where, f in features.items()
    }
    assert ordinary.distance(away).tolist() == pytest.approx([4, 4], rel=0.01)


def test_only_known_locations_count() -> None:
    """A text that happens to hold a mask token is as far away as without it."""
    features = texts_at(Location.CLS, Location.MASK)
    ordinary = Ordinary.of({Location.CLS: features[Location.CLS]})
    assert_close(
        ordinary.distance(features), ordinary.distance({Location.CLS: features[Location.CLS]})
    )


def test_a_dead_coordinate_keeps_the_distance_finite() -> None:
    """Where no ordinary text varies, a text that does lies far away, but not infinitely far."""
    features = texts_at(Location.CLS)
    features[Location.CLS][:, 0] = 1.0
    found = Ordinary.of(features).distance({Location.CLS: torch.full((1, 6), 3.0)})
    assert found.isfinite().all()
    assert found.item() > 100
