"""What experiments find on loaded models, against what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from plmscan.errors import UnsupportedModelError
from plmscan.loading import LoadedModel, Location, load
from plmscan.loading.parts import has_parts
from plmscan.model_types import read_model_types, written
from tests.artifacts import artifact_of
from tests.benchmarks.coverage.tried import facts_of
from tests.tiny_models import FAMILIES, build_tiny
from tests.tiny_types import build_type, text_types

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
DENSE = "attention.output.dense"
RECORD = {one.name: one for one in read_model_types()}


@dataclass(frozen=True)
class Known:
    """What is known of a family: the table that the experiments took the place of."""

    decoder: bool = False
    cls_last: bool = False
    pooler: str = ""
    part: str = ""
    padded_positions: bool = False
    transposed: bool = False
    head_outputs: str = DENSE


POOLED = Known(pooler="pooler")
ROBERTA = Known(pooler="pooler", padded_positions=True)
DECODER = Known(decoder=True, head_outputs="self_attn.o_proj")
KNOWN = {
    "albert": replace(POOLED, head_outputs="attention.dense"),
    "bart": Known(part="encoder", head_outputs="self_attn.out_proj"),
    "bert": POOLED,
    "camembert": ROBERTA,
    "deberta": Known(),
    "deberta-v2": Known(),
    "distilbert": Known(head_outputs="attention.out_lin"),
    "electra": Known(),
    "gpt2": replace(DECODER, head_outputs="attn.c_proj"),
    "llama": DECODER,
    "mistral": DECODER,
    "modernbert": Known(head_outputs="attn.Wo"),
    "mpnet": replace(ROBERTA, head_outputs="attention.attn.o"),
    "qwen2": DECODER,
    "qwen3": DECODER,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "xlnet": Known(cls_last=True, transposed=True, head_outputs=""),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_experiments_find_what_is_known(family: str, tmp_path: Path) -> None:
    """Every fact of the families that plmscan once listed by hand."""
    model, known = load(artifact_of(build_tiny(family, tmp_path)), "cpu"), KNOWN[family]
    traits, names = model.traits, [name for name, _ in model.module.named_modules()]
    assert (traits.decoder, traits.cls_last) == (known.decoder, known.cls_last)
    assert (traits.pooler, traits.part) == (known.pooler, known.part)
    assert traits.transposed is known.transposed
    assert traits.padded
    assert traits.by_words
    assert (traits.width, traits.layers, traits.heads) == (32, 2, 4)
    unused = model.config.pad_token_id + 1 if known.padded_positions else 0
    assert traits.positions == (None if family == "xlnet" else 64 - unused)
    ends = known.head_outputs
    assert list(dict.fromkeys(traits.head_outputs)) == [
        name for name in names if ends and name.endswith(ends)
    ]
    assert len(traits.head_outputs) == (2 if ends else 0)


SAMPLE = (
    "bert-generation",
    "bloom",
    "convbert",
    "cpmant",
    "deepseek_v3",
    "esm",
    "fnet",
    "gemma3",
    "gemma4_text",
    "jamba",
    "longformer",
    "marian",
    "mixtral",
    "rwkv",
    "t5gemma",
    "xlm",
)
"""Types of every kind: experts, latent attention, hybrids, none at all, prompts, several senses."""


@pytest.mark.parametrize("name", SAMPLE)
def test_the_record_is_what_experiments_find(name: str, tmp_path: Path) -> None:
    """A line of the shipped list is what a tiny model of the type shows, heads aside."""
    model = load(artifact_of(build_type(name, tmp_path)), "cpu", "bfloat16")
    assert facts_of(name, model) == replace(RECORD[name], heads=())


def test_the_record_covers_what_the_library_reads() -> None:
    """Nearly nine of ten types are measured, and every other says why not.

    A type that a newer library adds is not in the record, and needs nothing here.
    """
    measured = [one for one in RECORD.values() if one.is_measured]
    assert len(RECORD) >= 256
    assert len(measured) >= 0.88 * len(RECORD)
    assert all(one.kind and one.read_at for one in measured)
    assert len(RECORD.keys() & set(text_types())) >= 0.9 * len(RECORD)


def test_the_record_survives_being_written() -> None:
    """What the benchmark writes is what the package reads."""
    import json  # noqa: PLC0415 - for this alone

    lines = json.loads(written(RECORD.values()))
    assert [line["name"] for line in lines] == list(RECORD)


REFUSED = {
    "bros": ({}, "a short text"),
    "canine": ({}, "other word embeddings"),
    "ibert": ({}, "other word embeddings"),
    "nllb-moe": ({"moe_eval_capacity_token_fraction": -1.0}, "a text in a batch"),
    "reformer": ({"hash_seed": None}, "the same text twice"),
}
"""Models that break a condition of all probes, and the experiment that shows it."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_fails_an_experiment_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    """Needs boxes, has no table, scales it, drops tokens of late texts, or hashes at random."""
    settings, experiment = REFUSED[name]
    artifact = artifact_of(build_type(name, tmp_path, settings=settings))
    with pytest.raises(UnsupportedModelError, match=rf"\(experiment: {experiment}\)"):
        load(artifact, "cpu")


def rows_of(model: LoadedModel) -> list[tuple[int, ...]]:
    """Three texts of different lengths."""
    texts = (" the good film", " a bad story of the old river", " late")
    return [model.wrap(model.tokenize(text)) for text in texts]


@pytest.fixture(params=["fnet", "longformer", "cpmant", "convbert"])
def disturbed(request: pytest.FixtureRequest, tmp_path: Path) -> LoadedModel:
    """A model that mixes padding into a text, or looks up more than a text."""
    return load(artifact_of(build_type(request.param, tmp_path)), "cpu")


def test_a_text_gives_the_same_in_any_batch(disturbed: LoadedModel) -> None:
    """Its features, layers and maps are those of the text alone."""
    rows = rows_of(disturbed)
    ids, mask = disturbed.batch(rows)
    together, layers = disturbed.forward(ids, mask), disturbed.layers(ids, mask)
    for i, row in enumerate(rows):
        alone = disturbed.forward(torch.tensor([row]))
        for where in (Location.CLS, Location.MEAN):
            assert_close(together.features[where][i], alone.features[where][0], **CLOSE)
        assert_close(layers[i], disturbed.layers(torch.tensor([row]))[0], **CLOSE)


def test_embeddings_take_the_place_of_words(disturbed: LoadedModel) -> None:
    """In a batch of texts of any length; and gradients reach all of them."""
    ids, mask = disturbed.batch(rows_of(disturbed))
    embeddings = disturbed.embed(ids).requires_grad_()
    given = disturbed.forward_embeddings(embeddings, ids, mask)
    wanted = disturbed.forward(ids, mask)
    assert_close(given.features[Location.MEAN], wanted.features[Location.MEAN], **CLOSE)
    given.features[Location.MEAN].square().sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum(dim=2)[mask.bool()].min() > 0


def test_a_decoder_behind_an_encoder_is_read_at_what_it_writes(tmp_path: Path) -> None:
    """A T5 is measured at its encoder, and asked to write, unless only features are used."""
    folder = build_type("t5", tmp_path, head="sequence-to-sequence")
    model = load(artifact_of(folder), "cpu")
    assert model.traits.part == "encoder"
    assert has_parts(model.config)
    assert model.writer is not None
    assert model.writer.start
    assert not any(gap.blocks_pass for gap in model.gaps)
    declared = load(artifact_of(folder), "cpu", used_as="features")
    assert declared.writer is None
    assert not any(gap.blocks_pass for gap in declared.gaps)


def test_an_encoder_can_come_without_its_decoder(tmp_path: Path) -> None:
    """As sentence encoders made of a T5 do: nothing that is measured is missing."""
    folder = build_type("t5", tmp_path)
    weights = folder / "model.safetensors"
    held = {n: t.clone() for n, t in load_file(weights).items() if not n.startswith("decoder.")}
    save_file(held, weights, metadata={"format": "pt"})
    assert load(artifact_of(folder), "cpu").locations == (Location.MEAN,)
    held.pop("encoder.final_layer_norm.weight")
    save_file(held, weights, metadata={"format": "pt"})
    with pytest.raises(Exception, match="The files lack 1 of the model's weights"):
        load(artifact_of(folder), "cpu")


@pytest.mark.parametrize("name", ["fnet", "roberta", "squeezebert"])
def test_a_pooler_without_weights_is_not_read(name: str, tmp_path: Path) -> None:
    """Nor made up at random, whether its class can do without one or not."""
    folder = build_type(name, tmp_path)
    weights = folder / "model.safetensors"
    held = {n: t.clone() for n, t in load_file(weights).items() if "pooler." not in n}
    assert Location.POOLER in load(artifact_of(folder), "cpu").locations
    save_file(held, weights, metadata={"format": "pt"})
    model = load(artifact_of(folder), "cpu")
    assert "made up at random" in model.skipped_locations[Location.POOLER]
    assert Location.POOLER not in model.locations
    assert not [name for name, _ in model.module.named_parameters() if "pooler" in name]


def test_half_of_an_expert_is_missed(tmp_path: Path) -> None:
    """The library makes one weight of all experts; a tensor too few or twice is no such weight."""
    folder = build_type("mixtral", tmp_path)
    weights = folder / "model.safetensors"
    held = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    lost = next(name for name in held if ".experts.1." in name)
    twice = next(name for name in held if ".experts.0." in name)
    save_file({**held, f"model.{twice}": held[twice] + 1}, weights, metadata={"format": "pt"})
    with pytest.raises(Exception, match=r"cannot be put into|differ, and both"):
        load(artifact_of(folder), "cpu")
    del held[lost]
    save_file(held, weights, metadata={"format": "pt"})
    with pytest.raises(Exception, match=r"weights cannot be put into|lack|shape"):
        load(artifact_of(folder), "cpu")


def told(model: LoadedModel) -> Iterator[str]:
    """What a report says of the experiments."""
    yield from model.traits.told().split("; ")


def test_a_report_tells_what_was_found(tmp_path: Path) -> None:
    """In words that a reader understands."""
    model = load(artifact_of(build_type("fnet", tmp_path)), "cpu")
    assert list(told(model)) == [
        "Found by experiment: tokens see the whole text",
        "pooler pools",
        "padding changes what a text gives, so texts of one length were batched",
        "no attention maps in every layer.",
    ]
