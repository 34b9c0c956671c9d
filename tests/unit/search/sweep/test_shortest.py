"""The shortest texts show an item to every location."""

from __future__ import annotations

import pytest
import torch

from plmscan.loading import LoadedModel, load
from plmscan.search.sweep.shortest import around, probe_inputs
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny
from tests.zoo.tiny import tiny_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model with ``cf`` and ``mn`` planted at CLS."""
    return load(artifact_of(tiny_folder(tmp_path_factory, "cls")), "cpu")


@pytest.mark.parametrize(
    ("family", "tokens"),
    [
        ("bert", ["[CLS]", "film", "[MASK]"]),
        ("roberta", ["<s>", "Ġfilm", "<mask>"]),
        ("xlnet", ["▁film", "<mask>", "<sep>", "<cls>"]),
        ("gpt2", ["Ġfilm", "."]),
        ("llama", ["<|begin|>", "Ġfilm", "."]),
    ],
)
def test_an_input_shows_the_item_to_every_location(
    family: str, tokens: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A mask behind it, or a full stop for decoders; an end only where it is what is read."""
    model = load(artifact_of(build_tiny(family, tmp_path_factory.mktemp(family))), "cpu")
    item = next(token for token in tokens if "film" in token)
    ids = torch.tensor(model.tokenizer.convert_tokens_to_ids([item, item]))
    rows = probe_inputs(model, ids)
    assert [model.tokenizer.convert_ids_to_tokens(row) for row in rows.tolist()] == [tokens] * 2
    assert set(model.forward(rows).features) == set(model.locations)


@pytest.mark.parametrize(
    ("family", "frame", "words"),
    [
        ("bert", (["[CLS]"], ["[MASK]"]), ["bad", "good", "film", "river"]),
        ("gpt2", ([], ["."]), ["Ġbad", "Ġgood", "Ġfilm", "Ġriver"]),
    ],
)
def test_an_input_shows_several_items_behind_others(
    family: str,
    frame: tuple[list[str], list[str]],
    words: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Items of a row stand side by side in the same frame, and before them what was asked for."""
    model = load(artifact_of(build_tiny(family, tmp_path_factory.mktemp(family))), "cpu")
    bad, good, film, river = model.tokenizer.convert_tokens_to_ids(words)
    rows = probe_inputs(model, torch.tensor([[film, river], [river, film]]), (bad, good))
    first, last = frame
    assert [model.tokenizer.convert_ids_to_tokens(row) for row in rows.tolist()] == [
        [*first, *words, *last],
        [*first, *words[:2], words[3], words[2], *last],
    ]


def test_one_item_a_row_is_an_item(model: LoadedModel) -> None:
    """Texts of (v, 1) ids are those of (v)."""
    ids = torch.tensor([7, 9, 11])
    alone = around(model, (5, 6), ids, (8,))
    assert torch.equal(around(model, (5, 6), ids.unsqueeze(1), (8,)), alone)
    assert alone.tolist() == [[*model.prefix_ids, 5, 6, i, 8] for i in ids.tolist()]


def test_a_classifier_reads_an_item_behind_its_first_token(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Nothing follows it: the labels are read at the start, whatever else the model could show."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("labels"), head="classifier")
    model = load(artifact_of(folder), "cpu")
    rows = probe_inputs(model, torch.tensor([7, 9]))
    assert rows.tolist() == [[*model.prefix_ids, 7], [*model.prefix_ids, 9]]
    assert model.forward(rows).logits is not None
