"""The custom-code probe: which files ask for code to be run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plmscan.probes.static.custom_code import Probe
from tests.artifacts import artifact_of, evidence_of, fired, gaps_of, write_json

if TYPE_CHECKING:
    from pathlib import Path

OWN_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def test_a_plain_model_names_no_code(tmp_path: Path) -> None:
    """Configs of every kind, lists among them, and sentence-transformers' own modules are clean."""
    write_json(tmp_path / "config.json", {"model_type": "bert", "architectures": ["BertModel"]})
    write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    write_json(tmp_path / "data_config.json", [{"name": "set", "weight": 1}])
    write_json(tmp_path / "modules.json", OWN_MODULES)
    assert fired(Probe(), artifact_of(tmp_path)) == []
    assert gaps_of(Probe(), artifact_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("file", "content", "rules"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling.Net"}}, ["PLM110"]),
        ("config.json", {"auto_map": "configuration.Config"}, ["PLM110"]),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["t.T", None]}}, ["PLM110"]),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "m.N"}}}, ["PLM110"]),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "p.P"}}, ["PLM110"]),
        (
            "config.json",
            {"custom_pipelines": {"pair": {"impl": "pipe.Pair", "pt": ["AutoModel"]}}},
            ["PLM110"],
        ),
        (
            "config.json",
            {"auto_map": {"AutoModel": "org/other--modeling.Net"}},
            ["PLM110", "PLM111"],
        ),
        ("config.json", {"auto_map": {"AutoModel": ["a.B", {"deep": ["c.D"]}]}}, ["PLM110"]),
        ("generation_config.json", {"custom_generate": "org/loop"}, ["PLM110"]),
        ("video_preprocessor_config.json", {"auto_map": {"AutoVideoProcessor": "v.V"}}, ["PLM110"]),
        ("modules.json", [*OWN_MODULES, {"type": "custom_pooling.Pool"}], ["PLM112"]),
        ("modules.json", [{"type": "sentence_transformers.util.misc.importlib"}], ["PLM112"]),
        ("modules.json", [{"type": "sentence_transformers.models.os.system"}], ["PLM112"]),
        ("modules.json", [{"type": "sentence_transformers.models.Pooling "}], ["PLM112"]),
        ("modules.json", [{"type": "transformers.AutoModel"}], ["PLM112"]),
        ("modules.json", [{"type": "pylate.models.Dense.importlib"}], ["PLM112"]),
        ("modules.json", [{"type": "org/repo--modeling.Pool"}], ["PLM112"]),
        (".hidden/modules.json", [{"type": "torch.hub.load"}], ["PLM112"]),
        ("router_config.json", {"types": {"query_0": "custom_pool.Pool"}}, ["PLM112"]),
        ("a/b/router_config.json", {"types": {"q": "x.Y"}, "structure": {}}, ["PLM112"]),
        ("old/config.json", {"types": {"q": "x.Y"}, "structure": {"q": ["q"]}}, ["PLM112"]),
        ("2_Dense/config.json", {"activation_function": "os.abort"}, ["PLM115"]),
        ("2_Dense/config.json", {"activation_function": "torch.hub.load"}, ["PLM115"]),
        ("2_Dense/config.json", {"activation_function": "torch.jit.load"}, ["PLM115"]),
        ("2_Dense/config.json", {"activation_function": "torch.os.abort"}, ["PLM115"]),
        ("q/2_Dense/config.json", {"activation_function": "torch.nn.Tanh.x"}, ["PLM115"]),
        ("2_Dense/config.json", {"activation_function": "torch.nn.functional.relu"}, ["PLM115"]),
        ("config.json", {"sentence_transformers": {"activation_fn": "os.abort"}}, ["PLM115"]),
        ("config.json", {"sbert_ce_default_activation_function": "torch.load"}, ["PLM115"]),
        ("0_W/wordembedding_config.json", {"tokenizer_class": "x.Tok"}, ["PLM115"]),
        ("0_W/wordembedding_config.json", {"tokenizer_class": "subprocess.Popen"}, ["PLM115"]),
        (
            "adapter_config.json",
            {"auto_mapping": {"base_model_class": "Popen", "parent_library": "subprocess"}},
            ["PLM115"],
        ),
        (
            "adapter_config.json",
            {"auto_mapping": {"base_model_class": "os", "parent_library": "transformers.utils"}},
            ["PLM115"],
        ),
        ("adapter_config.json", {"megatron_core": "some_package"}, ["PLM115"]),
        ("config.json", {"attn_implementation": "some-org/some-kernel"}, ["PLM116"]),
        ("config.json", {"_attn_implementation": "some-org/kernel@v1:call"}, ["PLM116"]),
        ("config.json", {"_attn_implementation_internal": "a/b"}, ["PLM116"]),
        ("config.json", {"attn_implementation": "paged|a/b"}, ["PLM116"]),
        ("config.json", {"attn_implementation": {"": "sdpa", "text_config": "a/b"}}, ["PLM116"]),
        ("config.json", {"text_config": {"attn_implementation": "a/b"}}, ["PLM116"]),
        ("config.json", {"experts_implementation": "a/b"}, ["PLM116"]),
        ("config.json", {"quantization_config": {"attn_implementation": "a/b"}}, ["PLM116"]),
        ("config.json", {"attn_implementation": "my_attention"}, ["PLM116"]),
        ("sentence_bert_config.json", {"model_args": {"attn_implementation": "a/b"}}, ["PLM116"]),
        ("generation_config.json", {"_attn_implementation": "a/b"}, ["PLM116"]),
    ],
)
def test_a_reference_to_code_fires_and_blocks_a_pass(
    tmp_path: Path, file: str, content: object, rules: list[str]
) -> None:
    """The model as used would run code that plmscan does not run."""
    write_json(tmp_path / file, content)
    artifact = artifact_of(tmp_path)
    assert fired(Probe(), artifact) == rules
    assert [gap.subject for gap in gaps_of(Probe(), artifact) if gap.blocks_pass] == [file]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", [{"type": "pylate.models.Dense.Dense"}]),
        ("modules.json", [{"type": "sentence_transformers.models.Asym"}]),
        ("modules.json", [{"type": "sentence_transformers.models.BERT"}]),
        ("modules.json", [{"type": "sentence_transformers.models.Transformer.Transformer"}]),
        ("modules.json", [{"type": "sentence_transformers.sparse_encoder.models.SpladePooling"}]),
        ("modules.json", [{"type": "sentence_transformers.base.modules.normalize.Normalize"}]),
        ("router_config.json", {"types": {"q": "sentence_transformers.models.Pooling"}}),
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.linear.Identity"}),
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh"}),
        ("config.json", {"activation_function": "gelu_new"}),
        ("1_SpladePooling/config.json", {"activation_function": "relu"}),
        ("config.json", {"sbert_ce_default_activation_function": "torch.nn.Sigmoid"}),
        ("config.json", {"sbert_ce_default_activation_function": None}),
        ("tokenizer_config.json", {"tokenizer_class": "tokenization_x.Odd"}),
        (
            "0/wordembedding_config.json",
            {"tokenizer_class": "sentence_transformers.models.tokenizer.WordTokenizer"},
        ),
        ("config.json", {"_attn_implementation_autoset": True, "attn_implementation": "sdpa"}),
        ("config.json", {"attn_implementation": None, "experts_implementation": "grouped_mm"}),
        ("adapter_config.json", {"auto_mapping": None, "megatron_core": "megatron.core"}),
        (
            "adapter_config.json",
            {
                "auto_mapping": {
                    "base_model_class": "BertModel",
                    "parent_library": "transformers.models.bert.modeling_bert",
                }
            },
        ),
    ],
)
def test_the_libraries_own_names_are_honest(tmp_path: Path, file: str, content: object) -> None:
    """Old spellings, PyLate's, and names that stand for a list of the library's pass."""
    write_json(tmp_path / file, content)
    assert fired(Probe(), artifact_of(tmp_path)) == []
    assert gaps_of(Probe(), artifact_of(tmp_path)) == []


def test_settings_are_found_however_deep_they_lie(tmp_path: Path) -> None:
    """Nine hundred objects inside each other hide nothing and break nothing."""
    deep: object = {"attn_implementation": "a/b"}
    for _ in range(900):
        deep = {"text_config": deep}
    write_json(tmp_path / "config.json", deep)
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM116"]


def test_the_message_names_the_code_of_another_repository_first(tmp_path: Path) -> None:
    """What a reviewer must see is not cut off behind harmless references."""
    own = {f"AutoModel{i}": f"modeling.Net{i}" for i in range(9)}
    write_json(tmp_path / "config.json", {"auto_map": {**own, "AutoConfig": "org/x--conf.C"}})
    evidence = evidence_of(Probe(), artifact_of(tmp_path))[0]
    assert str(evidence.details["code"]).startswith("org/x--conf.C, modeling.Net0")


@pytest.mark.parametrize("fetched", [True, False])
@pytest.mark.parametrize(
    ("file", "rules"),
    [("handler.py", ["PLM114"]), ("custom_generate/generate.py", ["PLM113", "PLM114"])],
)
def test_python_files_are_listed(
    tmp_path: Path, file: str, rules: list[str], fetched: bool
) -> None:
    """Downloaded or not, a Python file in the repository is told."""
    if fetched:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("x = 1\n")
    artifact = artifact_of(tmp_path, not_fetched=() if fetched else (file,))
    assert fired(Probe(), artifact) == rules


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_config_that_cannot_be_read_blocks_a_pass(tmp_path: Path, content: bytes) -> None:
    """A reference to code may hide in it."""
    (tmp_path / "processor_config.json").write_bytes(content)
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass
