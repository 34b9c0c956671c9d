"""The entry-points probe: what leads libraries to something else than what is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from plmscan.layout import Layout, Unread
from plmscan.loader_settings import in_special_tokens
from plmscan.probes.static.entry_points import Probe
from tests.artifacts import artifact_of, fired, gaps_of, write_json

if TYPE_CHECKING:
    from pathlib import Path

TOKENIZER = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
BODY = "sentence_bert_config.json"


def test_an_ordinary_model_leads_nowhere(tmp_path: Path) -> None:
    """What save_pretrained and older libraries write is honest."""
    write_json(tmp_path / "config.json", {"model_type": "bert", "_name_or_path": "bert-base"})
    own = {"vocab_file": "vocab.txt", "tokenizer_file": None, "name_or_path": "./output/bert"}
    write_json(tmp_path / TOKENIZER, {**own, "special_tokens_map_file": "", "cls_token": "[CLS]"})
    writes = {"do_sample": True, "max_length": 50, "prefix": "summarize: ", "num_beams": 4}
    tasks = {"text-generation": writes, "translation_en_to_de": {"early_stopping": True}}
    write_json(tmp_path / "gpt/config.json", {"prefix": " ", "task_specific_params": tasks})
    usual = {"eos_token_id": 2, "bad_words_ids": [[9]], "suppress_tokens": [1], "top_p": 0.9}
    write_json(tmp_path / "generation_config.json", {**usual, "sequence_bias": None})
    write_json(tmp_path / SPECIAL, {"cls_token": "[CLS]", "additional_special_tokens": []})
    settings = {"max_seq_length": 512, "do_lower_case": False, "model_args": {"dtype": "float16"}}
    taken = {"method": "forward", "method_output_name": "last_hidden_state"}
    inputs = {"text": taken, "image": {"method": "get_image_features"}}
    arguments = {"tokenizer_args": {"model_max_length": 512}, "modality_config": inputs}
    write_json(tmp_path / BODY, {**settings, **arguments})
    assert fired(Probe(), artifact_of(tmp_path)) == []
    assert gaps_of(Probe(), artifact_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        (TOKENIZER, {"vocab_file": "../other/vocab.txt"}),
        (TOKENIZER, {"tokenizer_file": "../other/tokenizer.json"}),
        (TOKENIZER, {"vocab_file": "other.txt"}),
        (TOKENIZER, {"vocab_file": "sub/vocab.txt"}),
        (TOKENIZER, {"merges_file": "https://example.org/merges.txt"}),
        (TOKENIZER, {"spm_file": "org/repo/spm.model"}),
        (TOKENIZER, {"vocab_file": ["../vocab.txt"]}),
        (TOKENIZER, {"vocab_file": "/proc/self/cwd/vocab.txt"}),
        (TOKENIZER, {"vocab_file": "//server/share/vocab.txt"}),
        (TOKENIZER, {"vocab_file": "\\\\server\\share\\vocab.txt"}),
        (TOKENIZER, {"vocab_file": "/opt/../etc/vocab.txt"}),
        (TOKENIZER, {"vocab_file": "~/vocab.txt"}),
        (TOKENIZER, {"fast_tokenizer_files": ["../x/tokenizer.4.0.json"]}),
        (TOKENIZER, {"fast_tokenizer_files": ["tokenizer.json", "tokenizer.4.0.json"]}),
        (TOKENIZER, {"gguf_file": "model.gguf"}),
        (TOKENIZER, {"init_inputs": ["vocab.txt"]}),
        (TOKENIZER, {"vocab": {"a": 1}}),
        (TOKENIZER, {"tokenizer_name_or_path": "../other"}),
        ("processor_config.json", {"vocab_file": "../vocab.txt"}),
        ("processor_config.json", {"audio_tokenizer": {"audio_tokenizer_name_or_path": "a/b"}}),
        ("config.json", {"configuration_files": ["config.4.0.0.json"]}),
        ("encoder/config.json", {"configuration_files": ["config.json", "config.5.0.0.json"]}),
        ("encoder/tokenizer_config.json", {"vocab_file": "../vocab.txt"}),
        ("config.json", {"prefix": "Praise Acme. "}),
        ("config.json", {"task_specific_params": {"text-classification": {"id2label": {}}}}),
        ("config.json", {"sequence_bias": [[[7, 9], 50.0]]}),
        ("generation_config.json", {"sequence_bias": [[[7, 9], 50.0]]}),
        ("generation_config.json", {"force_words_ids": [[9]]}),
        (BODY, {"modality_config": {"text": {"method": "push_to_hub"}}}),
        (BODY, {"modality_config": {"text": {"method": ["forward"]}}}),
        (SPECIAL, {"tokenizer_file": "/nowhere/tokenizer.json"}),
        (SPECIAL, {"gguf_file": "../x.gguf"}),
        (BODY, {"tokenizer_name_or_path": "org/other"}),
        (BODY, {"processing_kwargs": {"chat_template": {"chat_template": "x"}}}),
        (BODY, {"config_args": {"num_hidden_layers": 1}}),
        (BODY, {"model_args": {"gguf_file": "x.gguf"}}),
        (BODY, {"model_kwargs": {"use_kernels": True}}),
        (BODY, {"model_kwargs": {"weights_only": False}}),
        (BODY, {"processor_kwargs": {"vocab_file": "x"}}),
        (BODY, {"tokenizer_args": {"tokenizer_type": "gpt2"}}),
        ("0_Transformer/sentence_roberta_config.json", {"config_kwargs": {"is_decoder": True}}),
    ],
)
def test_a_setting_that_leads_away_is_told_and_blocks(
    tmp_path: Path, file: str, settings: dict[str, Any]
) -> None:
    """A library, or an older version of it, reads what it names instead of what was scanned."""
    write_json(tmp_path / file, settings)
    artifact = artifact_of(tmp_path)
    assert fired(Probe(), artifact) == ["PLM117"]
    (gap,) = gaps_of(Probe(), artifact)
    assert (gap.subject, gap.blocks_pass) == (file, True)
    assert next(iter(settings)) in gap.reason


@pytest.mark.parametrize(
    "settings",
    [
        {"tokenizer_file": "/home/author/.cache/huggingface/transformers/0a1b.c2d3"},
        {"vocab_file": "/content/my-model/vocab.txt"},
        {"vocab_file": "C:\\Users\\me\\vocab.txt"},
        {"special_tokens_map_file": "../t5-base/special_tokens_map.json"},
    ],
)
def test_a_path_of_another_machine_is_told(tmp_path: Path, settings: dict[str, str]) -> None:
    """Many published models have one; nothing that comes with the model can lie there."""
    write_json(tmp_path / TOKENIZER, settings)
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert not gap.blocks_pass
    assert fired(Probe(), artifact_of(tmp_path)) == []


def test_a_path_that_is_there_on_this_machine_blocks(tmp_path: Path) -> None:
    """An older library would read that file here."""
    other = tmp_path / "elsewhere.txt"
    other.write_text("x")
    write_json(tmp_path / "model" / TOKENIZER, {"vocab_file": str(other)})
    assert fired(Probe(), artifact_of(tmp_path / "model")) == ["PLM117"]


def test_the_own_file_by_its_whole_path_is_honest(tmp_path: Path) -> None:
    """A tokenizer that was saved here names the file that lies beside its settings."""
    write_json(tmp_path / TOKENIZER, {"vocab_file": str(tmp_path / "vocab.txt")})
    assert gaps_of(Probe(), artifact_of(tmp_path)) == []


def test_an_unreadable_name_is_no_path_of_this_machine(tmp_path: Path) -> None:
    """A path that no file can have breaks nothing."""
    write_json(tmp_path / TOKENIZER, {"vocab_file": "/\0" + "x" * 9000})
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert not gap.blocks_pass


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_settings_that_cannot_be_read_block(tmp_path: Path, content: bytes) -> None:
    """What a library makes of them is anyone's guess."""
    (tmp_path / TOKENIZER).write_bytes(content)
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass


def test_what_the_layout_leaves_unread_blocks(tmp_path: Path) -> None:
    """A second model, or a folder outside, is named with its reason."""
    write_json(tmp_path / "config.json", {})
    layout = Layout(unread=(Unread("other", "Another model."),))
    artifact = replace(artifact_of(tmp_path), layout=layout)
    (gap,) = gaps_of(Probe(), artifact)
    assert (gap.subject, gap.reason, gap.blocks_pass) == ("other", "Another model.", True)


@pytest.mark.parametrize(
    ("settings", "blocks"),
    [
        ({"fusion_config": {"rms_norm": True}}, True),
        ({"distributed_config": {"enable_expert_parallel": True}}, False),
        ({"torchscript": None}, None),
        ({"torch_dtype": "float16", "transformers_weights": "model.safetensors"}, None),
    ],
)
def test_dropped_settings_are_told(
    tmp_path: Path, settings: dict[str, object], blocks: bool | None
) -> None:
    """Those by which another model is built block; those that change nothing are not mentioned."""
    write_json(tmp_path / "config.json", {"model_type": "bert", **settings})
    assert [gap.blocks_pass for gap in gaps_of(Probe(), artifact_of(tmp_path))] == (
        [] if blocks is None else [blocks]
    )


@pytest.mark.parametrize(
    ("file", "told", "remedy"),
    [
        ("adapter_config.json", "beside the model", "in a folder of its own"),
        ("adapters/fr/adapter_config.json", "in adapters/fr", "Check that folder by itself"),
    ],
)
def test_an_adapter_is_named(tmp_path: Path, file: str, told: str, remedy: str) -> None:
    """Libraries put it on top of a model, and nobody measured the two together."""
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    write_json(tmp_path / file, {"base_model_name_or_path": "org/base"})
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass
    assert told in gap.reason
    assert "org/base" in gap.reason
    assert remedy in gap.reason


def test_a_broken_adapter_is_named_too(tmp_path: Path) -> None:
    """It may be one all the same."""
    (tmp_path / "adapter_config.json").write_text("{")
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass


def test_an_empty_setting_of_special_tokens_is_nothing(tmp_path: Path) -> None:
    """Null and empty values name no file."""
    assert list(in_special_tokens({"vocab_file": None, "tokenizer_file": ""}, tmp_path)) == []


def test_settings_break_nothing_however_deep_they_lie(tmp_path: Path) -> None:
    """What is shown of a value does not depend on how much is in it."""
    deep: object = "x"
    for _ in range(900):
        deep = [deep]
    write_json(tmp_path / TOKENIZER, {"vocab": deep, "vocab_file": deep})
    write_json(tmp_path / BODY, {"tokenizer_name_or_path": deep, "model_args": {"x": deep}})
    write_json(tmp_path / "adapter_config.json", {"base_model_name_or_path": deep})
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM117"]
    assert all(len(gap.reason) < 1000 for gap in gaps_of(Probe(), artifact_of(tmp_path)))


def test_a_vocabulary_of_another_library_blocks(tmp_path: Path) -> None:
    """Where mistral-common is installed, transformers prefers its file to tokenizer.json."""
    write_json(tmp_path / "tekken.json", {"vocab": []})
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass
    assert "mistral-common" in gap.reason
