"""What stands behind a Transformer, and which of it is not measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from plmscan.layout import Layout, Module
from plmscan.loading import LoadedModel, load, unmeasured_modules
from plmscan.loading.behind import read_behind
from tests.artifacts import artifact_of, write_json, write_safetensors
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plmscan.evidence import Gap

    _Gaps = Callable[..., list[Gap]]

SAVED_SETTINGS = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny encoder with a classifier."""
    folder = build_tiny("bert", tmp_path_factory.mktemp("encoder"), head="classifier")
    return load(artifact_of(folder), "cpu")


@pytest.fixture
def gaps(encoder: LoadedModel, tmp_path: Path) -> _Gaps:
    """What is told of modules, given as pairs of a folder and a class, and of files."""

    def of(*modules: tuple[str, str], **files: object) -> list[Gap]:
        for name, value in files.items():
            write_json(tmp_path / name.replace("__", "/").replace("_JSON", ".json"), value)
        named = tuple(
            Module("modules.json", folder, f"sentence_transformers.models.{kind}")
            for folder, kind in modules
        )
        artifact = replace(artifact_of(tmp_path), layout=Layout(modules=named))
        behind = read_behind(artifact, encoder, allow_pickle=False)
        return list(unmeasured_modules(artifact, replace(encoder, behind=behind)))

    return of


def test_a_model_of_transformers_has_nothing_behind_it(gaps: _Gaps) -> None:
    """Nothing is told where no library of modules is used."""
    assert gaps() == []


@pytest.mark.parametrize("kind", ["Normalize", "Dropout", "Router", "Asym", "Transformer"])
def test_what_hands_on_what_it_gets_is_not_mentioned(gaps: _Gaps, kind: str) -> None:
    """It adds nothing that could tell two inputs apart."""
    assert gaps(("", "Transformer"), ("1_X", kind)) == []


@pytest.mark.parametrize(
    "kind",
    [
        "BoW",
        "CNN",
        "Dense",
        "LSTM",
        "LayerNorm",
        "LogitScore",
        "SomethingNew",
        "SpladePooling",
        "StaticEmbedding",
        "WeightedLayerPooling",
        "WordEmbeddings",
    ],
)
def test_what_computes_by_itself_blocks_by_name(gaps: _Gaps, kind: str) -> None:
    """Its weights may hold what the Transformer does not."""
    (gap,) = gaps(("", "Transformer"), ("2_X", kind))
    assert gap.blocks_pass
    assert gap.subject == f"2_X ({kind})"


def test_behind_a_router_nothing_is_read_but_what_is_a_location(gaps: _Gaps) -> None:
    """Texts take different ways there, so that no one embedding is that of the model."""
    modules = (("", "Router"), ("a", "Transformer"), ("a_2", "Pooling"), ("a_3", "Dense"))
    (gap,) = gaps(*modules, a_2__config_JSON={"pooling_mode": "mean"})
    assert gap.subject == "a_3 (Dense)"
    assert "in a row" in gap.reason


@pytest.mark.parametrize(
    ("settings", "blocks"),
    [
        ({}, False),
        ({"pooling_mode": "mean"}, False),
        ({"pooling_mode": ["cls", "mean_sqrt_len_tokens"]}, False),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, False),
        ({"pooling_mode_max_tokens": True}, False),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_weightedmean_tokens": True}, False),
        ({"pooling_mode": "lasttoken"}, False),
        ({"pooling_mode": "median"}, True),
        ({"pooling_mode": {"mean": 1}}, True),
        ({"pooling_mode": "mean", "pooling_mode_max_tokens": True}, False),
    ],
)
def test_every_way_to_pool_is_read(gaps: _Gaps, settings: dict[str, Any], blocks: bool) -> None:
    """The new setting wins over the old switches, and mean is what the library takes without."""
    told = gaps(("", "Transformer"), ("1_P", "Pooling"), **{"1_P__config_JSON": settings})
    assert [gap.blocks_pass for gap in told] == ([True] if blocks else [])


def test_a_pooling_without_settings_blocks(gaps: _Gaps) -> None:
    """Nobody can tell where it reads."""
    (gap,) = gaps(("", "Transformer"), ("1_P", "Pooling"))
    assert "1_P/config.json is missing" in gap.reason


def test_broken_settings_of_a_module_block(gaps: _Gaps) -> None:
    """They are named, and the others are still judged."""
    modules = (("", "Transformer"), ("1_P", "Pooling"), ("2_D", "Dense"))
    told = gaps(*modules, **{"1_P__config_JSON": []})
    assert [gap.subject for gap in told] == ["1_P (Pooling)", "2_D (Dense)"]


@pytest.mark.parametrize(
    ("settings", "blocks"),
    [
        ({"transformer_task": "feature-extraction", "modality_config": SAVED_SETTINGS}, False),
        ({"transformer_task": "sequence-classification"}, False),
        ({"transformer_task": "fill-mask"}, True),
        ({"transformer_task": "text-generation"}, True),
        ({"transformer_task": ["x"]}, True),
        ({"modality_config": {"text": {"method": "forward"}}}, True),
        ({"modality_config": {"text": "forward"}}, True),
        ({"modality_config": {"t": {"method": "save", "method_output_name": "x"}}}, True),
        ({"modality_config": {"t": {"method": "forward", "method_output_name": ["x"]}}}, True),
    ],
)
def test_what_is_taken_of_a_transformer_has_to_be_measured(
    gaps: _Gaps, settings: dict[str, Any], blocks: bool
) -> None:
    """Its last hidden state is; a head is where it is in the files, and other outputs are not."""
    told = gaps(("", "Transformer"), sentence_roberta_config_JSON=settings)
    assert [gap.blocks_pass for gap in told] == ([True] if blocks else [])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"default_prompt_name": "q", "prompts": {"q": "find: "}},
            "began with the prompt 'find: '",
        ),
        ({"default_prompt_name": None, "prompts": {"q": "find: "}}, "users can ask for: 'q'"),
    ],
)
def test_prompts_without_which_or_with_which_nothing_was_read_are_told(
    gaps: _Gaps, settings: dict[str, Any], told: str
) -> None:
    """They change every text, and withhold no pass."""
    (gap,) = gaps(("", "Transformer"), config_sentence_transformers_JSON=settings)
    assert told in gap.reason
    assert not gap.blocks_pass


def test_a_usual_prompt_that_is_none_of_the_prompts_blocks(gaps: _Gaps) -> None:
    """The library loads no such model."""
    (gap,) = gaps(
        ("", "Transformer"), config_sentence_transformers_JSON={"default_prompt_name": "q"}
    )
    assert gap.blocks_pass


@pytest.mark.parametrize(
    ("settings", "weights", "told"),
    [
        ({"in_features": 32}, {}, "names no out_features"),
        ({"in_features": 32, "out_features": 8}, {}, "2_D/model.safetensors is missing"),
        ({"in_features": 32, "out_features": 8}, {"linear.weight": (8, 32)}, "linear.bias"),
        (
            {"in_features": 4, "out_features": 8, "activation_function": "os.system"},
            {},
            "os.system",
        ),
        ({"in_features": 4, "out_features": 8, "module_input_name": "x"}, {}, "other vectors"),
    ],
)
def test_a_layer_that_cannot_be_read_says_why(
    gaps: _Gaps,
    tmp_path: Path,
    settings: dict[str, Any],
    weights: dict[str, tuple[int, ...]],
    told: str,
) -> None:
    """Then nothing behind the Transformer is measured."""
    write_json(tmp_path / "2_D/config.json", settings)
    if weights:
        write_safetensors(tmp_path / "2_D/model.safetensors", weights)
    modules = (("", "Transformer"), ("1_P", "Pooling"), ("2_D", "Dense"))
    (gap,) = gaps(*modules, **{"1_P__config_JSON": {}})
    assert gap.subject == "2_D (Dense)"
    assert told in gap.reason


def test_a_pickled_layer_needs_permission(gaps: _Gaps, tmp_path: Path) -> None:
    """The option that gives it is named."""
    write_json(tmp_path / "1_D/config.json", {"in_features": 4, "out_features": 4})
    (tmp_path / "1_D/pytorch_model.bin").write_bytes(b"\x80\x02}.")
    (gap,) = gaps(("", "Transformer"), ("1_D", "Dense"))
    assert "--allow-pickle" in gap.reason


def test_a_broken_list_of_prompts_blocks(gaps: _Gaps) -> None:
    """It breaks no scan."""
    told = gaps(("", "Transformer"), config_sentence_transformers_JSON=[])
    assert [gap.blocks_pass for gap in told] == [True]


def test_the_head_of_setfit_blocks(gaps: _Gaps) -> None:
    """It decides, and was measured by nobody."""
    (gap,) = gaps(("", "Transformer"), **{"model_head.pkl": 0})
    assert (gap.subject, gap.blocks_pass) == ("model_head.pkl", True)
    assert "SetFit" in gap.reason


def test_deep_settings_of_modules_break_nothing(gaps: _Gaps) -> None:
    """They are no words, and are told by their kind."""
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    files = {
        "1_P__config_JSON": {"pooling_mode": deep},
        "sentence_bert_config_JSON": {"transformer_task": deep},
        "config_sentence_transformers_JSON": {"default_prompt_name": deep},
    }
    told = gaps(("", "Transformer"), ("1_P", "Pooling"), **files)
    assert [gap.blocks_pass for gap in told] == [True, True, True]
    assert "a list" in told[0].reason
