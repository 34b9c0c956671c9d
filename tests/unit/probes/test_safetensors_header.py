"""The safetensors-header probe: what disagrees, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.errors import ArtifactError
from plmscan.probes.static.safetensors_header import Probe
from tests.artifacts import artifact_of, evidence_of, fired, gaps_of, write_json, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

BERT = {"model_type": "bert", "vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 2}
BERT_SHAPES = {
    "embeddings.word_embeddings.weight": (10, 4),
    "encoder.layer.0.output.dense.weight": (4, 4),
    "encoder.layer.1.output.dense.weight": (4, 4),
}


def model(folder: Path, config: dict[str, object], shapes: dict[str, tuple[int, ...]]) -> None:
    """Write a config and one weight file."""
    write_json(folder / "config.json", config)
    write_safetensors(folder / "model.safetensors", shapes)


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (BERT, BERT_SHAPES),
        (
            {"vocab_size": 10, "n_embd": 4, "n_layer": 1},
            {"wte.weight": (10, 4), "h.0.attn.bias": (4,)},
        ),
        (
            {"vocab_size": 10, "hidden_size": 8, "embedding_size": 4, "num_hidden_layers": 12},
            {
                "albert.embeddings.word_embeddings.weight": (10, 4),
                "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight": (8, 8),
            },
        ),
        (
            {"vocab_size": 10, "d_model": 4, "encoder_layers": 1, "decoder_layers": 2},
            {
                "model.shared.weight": (10, 4),
                "model.encoder.layers.0.fc1.weight": (4, 4),
                "model.decoder.layers.0.fc1.weight": (4, 4),
                "model.decoder.layers.1.fc1.weight": (4, 4),
            },
        ),
        (
            {"vocab_size": 10, "d_model": 4, "num_layers": 1},
            {"shared.weight": (10, 4), "encoder.block.0.layer.1.DenseReluDense.wi.weight": (4, 4)},
        ),
        (
            {"num_hidden_layers": 1, "num_nextn_predict_layers": 1},
            {"model.layers.0.mlp.experts.7.w": (2,), "model.layers.1.eh_proj.weight": (2,)},
        ),
        (
            {"text_config": {"vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 1}},
            {
                "language_model.embed_tokens.weight": (10, 4),
                "language_model.layers.0.w": (2,),
                "vision_tower.encoder.layers.5.w": (2,),
            },
        ),
    ],
    ids=["bert", "gpt2", "albert", "bart", "t5", "next-token-layers", "multimodal"],
)
def test_weights_as_their_library_saves_them_fire_nothing(
    tmp_path: Path, config: dict[str, object], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Every family's names for embeddings and layers are understood."""
    model(tmp_path, config, shapes)
    assert fired(Probe(), artifact_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"embeddings.word_embeddings.weight": (11, 4)}, "PLM122"),
        ({"embeddings.word_embeddings.weight": (10, 5)}, "PLM122"),
        ({"encoder.layer.2.output.dense.weight": (4, 4)}, "PLM123"),
    ],
)
def test_a_shape_that_the_config_denies_fires(
    tmp_path: Path, change: dict[str, tuple[int, ...]], rule: str
) -> None:
    """Rows, columns and layers are held against the config."""
    model(tmp_path, BERT, BERT_SHAPES | change)
    assert fired(Probe(), artifact_of(tmp_path)) == [rule]


def test_missing_layers_fire(tmp_path: Path) -> None:
    """Layers that a loader would make up at random are counted."""
    model(tmp_path, BERT | {"num_hidden_layers": 5}, BERT_SHAPES)
    (evidence,) = evidence_of(Probe(), artifact_of(tmp_path))
    assert evidence.metrics["missing_layers"] == 3
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM124"]


def test_a_file_without_tensors_is_no_pass(tmp_path: Path) -> None:
    """Libraries load it, and the model that its users run is another one each time."""
    model(tmp_path, BERT, {})
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass
    assert "at random" in gap.reason


def sharded(folder: Path, weight_map: dict[str, str]) -> None:
    """Write two shards, ``a`` in the first and ``b`` in the second, and an index."""
    write_json(folder / "config.json", {})
    write_safetensors(folder / "model-00001-of-00002.safetensors", {"a": (2,)})
    write_safetensors(folder / "model-00002-of-00002.safetensors", {"b": (2,)})
    write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})


A_AND_B = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}


@pytest.mark.parametrize(
    ("weight_map", "rules"),
    [
        (A_AND_B, []),
        ({"a": A_AND_B["a"]}, ["PLM121"]),
        (A_AND_B | {"c": A_AND_B["b"]}, ["PLM121"]),
        ({"a": A_AND_B["b"], "b": A_AND_B["a"]}, ["PLM121"]),
    ],
    ids=["agreeing", "unlisted-tensor", "lost-tensor", "swapped"],
)
def test_the_index_must_tell_where_each_tensor_is(
    tmp_path: Path, weight_map: dict[str, str], rules: list[str]
) -> None:
    """A tensor known to only one of index and shards fires."""
    sharded(tmp_path, weight_map)
    assert fired(Probe(), artifact_of(tmp_path)) == rules


def test_a_tensor_in_two_shards_fires(tmp_path: Path) -> None:
    """The order of reading would decide which weights count."""
    sharded(tmp_path, A_AND_B)
    write_safetensors(tmp_path / A_AND_B["b"], {"a": (3,), "b": (2,)})
    assert "PLM120" in fired(Probe(), artifact_of(tmp_path))


def test_an_index_without_a_map_is_refused(tmp_path: Path) -> None:
    """A broken index is an error, not an agreement."""
    sharded(tmp_path, A_AND_B)
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": []})
    with pytest.raises(ArtifactError, match="no weight_map"):
        evidence_of(Probe(), artifact_of(tmp_path))


def test_long_metadata_fires(tmp_path: Path) -> None:
    """A header is no place for a payload."""
    text = b'{"__metadata__": {"note": "' + b"A" * 5000 + b'"}}'
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    write_json(tmp_path / "config.json", {})
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM125"]


def test_a_broken_weight_file_is_refused(tmp_path: Path) -> None:
    """What cannot be loaded is an error, with a sentence."""
    model(tmp_path, BERT, BERT_SHAPES)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"model\.safetensors is broken"):
        evidence_of(Probe(), artifact_of(tmp_path))


def test_weights_without_a_header_and_no_weights_are_gaps(tmp_path: Path) -> None:
    """Pickled weights are another probe's; no weights at all block a pass."""
    write_json(tmp_path / "config.json", {})
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02}.")
    (without,) = gaps_of(Probe(), artifact_of(tmp_path, weights=()))
    (pickled,) = gaps_of(Probe(), artifact_of(tmp_path, weights=("pytorch_model.bin",)))
    assert (without.blocks_pass, pickled.blocks_pass) == (True, False)


def test_safetensors_that_nobody_loads_are_named(tmp_path: Path) -> None:
    """A second set of weights is a gap that blocks nothing, broken or not."""
    model(tmp_path, BERT, BERT_SHAPES)
    (tmp_path / "spare.safetensors").write_bytes(b"junk")
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path, weights=("model.safetensors",)))
    assert (gap.subject, gap.blocks_pass) == ("spare.safetensors", False)
