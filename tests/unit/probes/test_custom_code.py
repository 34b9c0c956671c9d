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
        ("modules.json", [*OWN_MODULES, {"type": "custom_pooling.Pool"}], ["PLM112"]),
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
