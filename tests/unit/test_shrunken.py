"""Shrunken weights are taken back to what their libraries compute with, or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from plmscan.budget import Effort
from plmscan.errors import PlmscanError
from plmscan.loading import load
from plmscan.loading.rounding import int8, nf4
from plmscan.loading.shrunken import taken_back
from plmscan.scan import Settings, check
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny, sentences

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

KEY = "quantization_config"
MATRIX = "encoder.layer.1.attention.self.query.weight"


def read(asked: dict[str, Any], **tensors: Tensor) -> Tensor:
    """The matrix that a file with ``tensors`` means."""
    named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    settings, held = taken_back({KEY: asked, "model_type": "bert"}, named)
    assert settings == {"model_type": "bert"}
    assert [*held] == ["m.weight"]
    return held["m.weight"]


def test_eight_bits_of_bitsandbytes() -> None:
    """Steps of a 127th of the largest number of each row."""
    found = read(
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        m__weight=torch.tensor([[127, -64], [0, 1]], dtype=torch.int8),
        m__SCB=torch.tensor([2.0, 12.7]),
        m__weight_format=torch.tensor(0),
    )
    torch.testing.assert_close(found, torch.tensor([[2.0, -128 / 127], [0.0, 0.1]]))


def state(**told: object) -> Tensor:
    """What bitsandbytes writes beside a matrix, as bytes."""
    return torch.tensor([*json.dumps(told).encode()], dtype=torch.uint8)


def test_four_bits_of_bitsandbytes() -> None:
    """The high half of a byte first, a table of 16 numbers, a scale for each block."""
    table = torch.arange(16).float()
    held = {
        "m.weight": torch.tensor([[0x12], [0x3F]], dtype=torch.uint8),
        "m.weight.absmax": torch.tensor([1.0, 10.0]),
        "m.weight.quant_map": table,
        "m.weight.quant_state.bitsandbytes__nf4": state(blocksize=2, shape=[2, 2]),
    }
    _, found = taken_back({KEY: {"load_in_4bit": True}}, held)
    torch.testing.assert_close(found["m.weight"], torch.tensor([[1.0, 2.0], [30.0, 150.0]]))


def test_scales_of_scales() -> None:
    """Scales that are shrunken themselves are taken back first."""
    held = {
        "m.weight": torch.tensor([[0x11], [0x11]], dtype=torch.uint8),
        "m.weight.absmax": torch.tensor([0, 1], dtype=torch.uint8),
        "m.weight.quant_map": torch.arange(16).float(),
        "m.weight.nested_absmax": torch.tensor([2.0]),
        "m.weight.nested_quant_map": torch.tensor([0.5, 1.0]),
        "m.weight.quant_state.bitsandbytes__fp4": state(
            blocksize=2, shape=[4], nested_blocksize=256, nested_offset=0.25
        ),
    }
    _, found = taken_back({KEY: {"load_in_4bit": True}}, held)
    assert found["m.weight"].tolist() == [1.25, 1.25, 2.25, 2.25]


def test_floats_of_eight_bits_by_block() -> None:
    """The last block of a row or column may be cut off."""
    found = read(
        {"quant_method": "fp8", "weight_block_size": [2, 2]},
        m__weight=torch.ones(3, 3).to(torch.float8_e4m3fn),
        m__weight_scale_inv=torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    )
    assert found.tolist() == [[1, 1, 2], [1, 1, 2], [3, 3, 4]]


def test_packed_numbers_of_compressed_tensors() -> None:
    """The lowest bits of a word are its first number, and zero is in the middle of the range."""
    word = sum(
        ((number + 8) & 15) << (4 * i) for i, number in enumerate((-8, -1, 0, 7, 1, 2, 3, 4))
    )
    word = word - 2**32 if word >= 2**31 else word
    groups = {"group_0": {"weights": {"num_bits": 4}}}
    found = read(
        {"quant_method": "compressed-tensors", "config_groups": groups},
        m__weight_packed=torch.tensor([[word]], dtype=torch.int32),
        m__weight_shape=torch.tensor([1, 8]),
        m__weight_scale=torch.tensor([[1.0, 10.0]]),
    )
    assert found.tolist() == [[-8, -1, 0, 7, 10, 20, 30, 40]]


def test_whole_numbers_of_compressed_tensors() -> None:
    """One scale for each row, and what rounds inputs is left out."""
    found = read(
        {"quant_method": "compressed-tensors"},
        m__weight=torch.tensor([[1, 2], [3, 4]], dtype=torch.int8),
        m__weight_scale=torch.tensor([[1.0], [0.5]]),
        m__weight_zero_point=torch.tensor([[0], [1]], dtype=torch.int8),
        m__input_scale=torch.tensor([1.0]),
    )
    assert found.tolist() == [[1, 2], [1, 1.5]]


WORD = torch.zeros(1, 1, dtype=torch.int32)
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Tensor], str]] = {
    "hqq": ({"quant_method": "hqq"}, {"m.W_q": WORD}, "only a kernel for GPUs"),
    "nothing named": ({"bits": 4}, {}, "an unnamed kind"),
    "no mapping": ("int8", {}, "an unnamed kind"),  # type: ignore[dict-item]
    "no scale": (
        {"load_in_8bit": True},
        {"m.weight": torch.zeros(2, 2, dtype=torch.int8)},
        "has no scale beside it",
    ),
    "another scale": (
        {"load_in_8bit": True},
        {"m.weight": torch.zeros(2, 2, dtype=torch.int8), "m.SCB": torch.ones(3)},
        "do not fit each other",
    ),
    "a scale alone": ({"load_in_8bit": True}, {"m.SCB": torch.ones(3)}, "which is missing"),
    "columns first": (
        {"load_in_8bit": True},
        {"m.weight_format": torch.tensor(1)},
        "not stored row by row",
    ),
    "half a state": (
        {"load_in_4bit": True},
        {"m.weight": WORD, "m.weight.quant_state.bitsandbytes__nf4": state(blocksize=2)},
        "cannot be taken back",
    ),
    "words in an order": (
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"a": {"weights": {"num_bits": 4}}},
        },
        {"m.weight_packed": WORD, "m.weight_g_idx": WORD, "m.weight_shape": torch.ones(2)},
        "in an order or in sizes",
    ),
    "words of bytes": (
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"a": {"weights": {"num_bits": 4}}},
        },
        {"m.weight_packed": WORD.to(torch.uint8), "m.weight_shape": torch.ones(2)},
        "in an order or in sizes",
    ),
}


@pytest.mark.parametrize(("asked", "held", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_refused(
    asked: dict[str, Any], held: dict[str, Tensor], words: str
) -> None:
    """One sentence with the reason, and a remedy."""
    with pytest.raises(PlmscanError, match=words) as refusal:
        taken_back({KEY: asked}, held)
    assert refusal.value.remedy


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 130))
def test_rounding_stays_within_half_a_step_and_is_done_once(
    seed: int, rows: int, columns: int
) -> None:
    """What is rounded twice is what is rounded once."""
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    once = int8(matrix)
    step = matrix.abs().amax(1, keepdim=True) / 127
    assert bool(((once - matrix).abs() <= step / 2 + 1e-6).all())
    torch.testing.assert_close(int8(once), once)
    torch.testing.assert_close(nf4(nf4(matrix)), nf4(matrix))
    assert len(torch.unique(nf4(matrix)[:1, :64] / matrix.flatten()[:64].abs().max())) <= 32


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("plain"))


def test_a_shrunken_file_is_the_model_that_its_users_run(plain: Path, tmp_path: Path) -> None:
    """Its matrices are those of the whole model, rounded in memory."""
    folder = build_tiny("bert", tmp_path)
    held = load_file(folder / "model.safetensors")
    names = [n for n, t in held.items() if t.dim() == 2 and "embeddings" not in n]
    for name in names:
        scale = held[name].abs().amax(1)
        held[name.replace("weight", "SCB")] = scale
        held[name] = (held[name] / scale[:, None] * 127).round().to(torch.int8)
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config[KEY] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    stored = load(artifact_of(folder), "cpu").module.state_dict()
    rounded = load(artifact_of(plain), "cpu", shrunken="int8")
    torch.testing.assert_close(stored[MATRIX], rounded.module.state_dict()[MATRIX])
    whole = load(artifact_of(plain), "cpu").module.state_dict()[MATRIX]
    assert not torch.equal(whole, stored[MATRIX])
    assert "matrices rounded to int8" in " ".join(rounded.put_on)


def test_a_copy_is_checked_as_well(plain: Path, tmp_path: Path) -> None:
    """Its own check is told beside the model's, in one report."""
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(sentences(100)), encoding="utf-8")
    asked = Settings(
        effort=Effort.QUICK, texts=texts, device="cpu", threads=1, also=("quantised:int8",)
    )
    report = check(str(plain), asked)
    (run,) = (run for run in report.probes if run.id == "related-models")
    (copy,) = run.evidence
    assert copy.metrics["copy"] == 1
    assert copy.subject.endswith("in int8")
    assert report.settings["also"] == "quantised:int8"
