"""Matrices that GPTQ and AWQ packed are taken back to the numbers that were packed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from plmscan.errors import PlmscanError, UnsupportedModelError
from plmscan.loading import load
from plmscan.loading.shrunken import taken_back
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

KEY = "quantization_config"
LANES = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of 8 neighbours lies in each eighth of a word of AWQ, the lowest first."""


def words(numbers: Tensor, bits: int) -> Tensor:
    """(count, columns) -> (words, columns): each column written as one long number, cut in words.

    Python's own whole numbers do it, so that no shift of the reader is repeated.
    """
    size = -(-len(numbers) * bits // 32)
    columns = []
    for column in numbers.T.tolist():
        long = sum(number << (bits * place) for place, number in enumerate(column))
        data = long.to_bytes(4 * size, "little")
        cut = [data[i : i + 4] for i in range(0, len(data), 4)]
        columns.append([int.from_bytes(word, "little", signed=True) for word in cut])
    return torch.tensor(columns, dtype=torch.int32).T.contiguous()


@dataclass(frozen=True)
class Made:
    """A matrix that was made of whole numbers, and what files would hold of it."""

    weight: Tensor
    """The matrix (outputs, inputs)."""
    numbers: Tensor
    """Its whole numbers (inputs, outputs)."""
    points: Tensor
    """Zero points (groups, outputs)."""
    scales: Tensor
    """Steps (groups, outputs)."""
    group: Tensor
    """The group of each input (inputs)."""

    def gptq(self, bits: int, offset: int = 1) -> dict[str, Tensor]:
        """What GPTQ keeps of it in a layer m."""
        return {
            "m.qweight": words(self.numbers, bits),
            "m.qzeros": words((self.points - offset).T, bits).T.contiguous(),
            "m.scales": self.scales,
            "m.g_idx": self.group.int(),
        }

    def awq(self) -> dict[str, Tensor]:
        """What AWQ keeps of it in a layer m."""
        packed = {"m.qweight": self.numbers, "m.qzeros": self.points}
        lanes = {n: t.reshape(len(t), -1, 8)[:, :, LANES] for n, t in packed.items()}
        held = {name: words(rows.reshape(-1, 8).T, 4) for name, rows in lanes.items()}
        shaped = {name: rows.reshape(len(packed[name]), -1) for name, rows in held.items()}
        return {**shaped, "m.scales": self.scales}


def made(
    bits: int, inputs: int, outputs: int, size: int, seed: int = 0, *, act: bool = False
) -> Made:
    """A random matrix, its inputs in groups of ``size``, in any order with ``act``."""
    dice = torch.Generator().manual_seed(seed)
    groups = -(-inputs // size)
    numbers = torch.randint(0, 1 << bits, (inputs, outputs), generator=dice)
    points = torch.randint(1, 1 << bits, (groups, outputs), generator=dice)
    scales = (torch.rand(groups, outputs, generator=dice) + 0.1).half()
    group = torch.arange(inputs) // size
    group = group[torch.randperm(inputs, generator=dice)] if act else group
    weight = torch.tensor(
        [
            [
                (int(numbers[i, o]) - int(points[group[i], o])) * float(scales[group[i], o])
                for i in range(inputs)
            ]
            for o in range(outputs)
        ]
    )
    return Made(weight, numbers, points, scales, group)


def read(held: dict[str, Tensor], **asked: object) -> Tensor:
    """The matrix that a file with ``held`` means."""
    _, found = taken_back({KEY: asked}, held)
    assert [*found] == ["m.weight"]
    return found["m.weight"]


@given(
    st.sampled_from([2, 3, 4, 8]),
    st.integers(1, 3),
    st.sampled_from([8, 20, 32]),
    st.booleans(),
    st.sampled_from(["gptq", "gptq_v2"]),
)
def test_gptq_of_every_size_in_any_order(
    bits: int,
    groups: int,
    size: int,
    act: bool,
    layout: str,
) -> None:
    """Groups whole and cut, inputs in order or not, zero points of both formats."""
    one = made(bits, groups * size - groups % 2, 40, size, act=act)
    held = one.gptq(bits, 1 if layout == "gptq" else 0)
    found = read(
        held, quant_method="gptq", bits=bits, group_size=size, desc_act=act,
        checkpoint_format=layout,
    )  # fmt: skip
    torch.testing.assert_close(found, one.weight)


def test_one_group_for_all_inputs_and_none_named() -> None:
    """A size of -1 is one group; files without g_idx have their inputs in order."""
    one = made(4, 32, 8, 32)
    held = {name: tensor for name, tensor in one.gptq(4).items() if name != "m.g_idx"}
    found = read(held, quant_method="gptq", bits=4, group_size=-1)
    torch.testing.assert_close(found, one.weight)


def test_numbers_of_three_bits_reach_into_the_next_word() -> None:
    """The eleventh number has two bits in the first word and one in the second."""
    numbers = torch.zeros(32, 32, dtype=torch.long)
    numbers[10, 0] = 0b101
    packed = words(numbers, 3)[:, 0].tolist()
    assert packed == [0b01 << 30, 1, 0]
    one = Made(torch.empty(0), numbers, torch.ones(1, 32).long(), torch.ones(1, 32), numbers[:, 1])
    found = read(one.gptq(3), quant_method="gptq", bits=3, group_size=-1)
    assert found[0, 10] == 5 - 1
    assert found[0, [9, 11]].tolist() == [-1, -1]


def test_layers_of_different_sizes() -> None:
    """Where a config has rules for single layers, the shapes say how many bits one has."""
    one = made(8, 32, 8, 16)
    found = read(
        one.gptq(8), quant_method="gptq", bits=4, group_size=16, dynamic={"m": {"bits": 8}}
    )
    torch.testing.assert_close(found, one.weight)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 9))
def test_awq_of_every_shape(groups: int, columns: int, seed: int) -> None:
    """Even neighbours lie in the lower half of a word, odd ones in the upper."""
    one = made(4, 16 * groups, 8 * columns, 16, seed)
    found = read(one.awq(), quant_method="awq", bits=4, version="GEMM")
    torch.testing.assert_close(found, one.weight)


def test_a_word_of_awq() -> None:
    """The word that the format's own order of 0 to 7 gives."""
    held = {
        "m.qweight": torch.tensor([[0x75316420]], dtype=torch.int32),
        "m.qzeros": torch.zeros(1, 1, dtype=torch.int32),
        "m.scales": torch.ones(1, 8),
    }
    assert read(held, quant_method="awq").flatten().tolist() == [*range(8)]


GPTQ: dict[str, Any] = {"quant_method": "gptq", "bits": 4, "group_size": 16}
AWQ: dict[str, Any] = {"quant_method": "awq", "bits": 4}
ORDERED = made(4, 32, 8, 16)
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Tensor], str]] = {
    "marlin": ({**GPTQ, "checkpoint_format": "marlin"}, {}, "arrangement 'marlin'"),
    "older marlin": ({**GPTQ, "is_marlin_format": True}, {}, "arrangement 'marlin'"),
    "planes": ({**GPTQ, "format": "gptq_p"}, {}, "arrangement 'gptq_p'"),
    "5 bits": ({**GPTQ, "bits": 5}, ORDERED.gptq(4), "5 bits, which are not read"),
    "no bits": ({"quant_method": "gptq"}, ORDERED.gptq(4), "None bits"),
    "other bits": ({**GPTQ, "bits": 8}, ORDERED.gptq(4), "do not fit each other"),
    "words of bytes": (
        GPTQ, {**ORDERED.gptq(4), "m.qweight": torch.zeros(4, 8, dtype=torch.int8)}, "32 bits",
    ),
    "no scales": (GPTQ, {"m.qweight": ORDERED.gptq(4)["m.qweight"]}, "m.qzeros is missing"),
    "no table": (GPTQ, {**ORDERED.gptq(4), "m.scales": torch.ones(8)}, "do not fit each other"),
    "a group too many": (
        {**GPTQ, "desc_act": True},
        {**ORDERED.gptq(4), "m.g_idx": torch.full((32,), 2)},
        "do not fit each other",
    ),
    "an order that is denied": (
        GPTQ, {**ORDERED.gptq(4), "m.g_idx": ORDERED.group.flip(0)}, "the config denies",
    ),
    "an order that is missing": (
        {**GPTQ, "desc_act": True},
        {name: tensor for name, tensor in ORDERED.gptq(4).items() if name != "m.g_idx"},
        "do not fit each other",
    ),
    "zero points beyond the last": (
        GPTQ,
        {**ORDERED.gptq(4), "m.qzeros": torch.full((2, 1), -1, dtype=torch.int32)},
        "take for different numbers",
    ),
    "gemv": ({**AWQ, "version": "gemv"}, {}, "arrangement 'gemv'"),
    "gemv of older files": ({**AWQ, "version": "GEMV_FAST"}, {}, "arrangement 'gemv_fast'"),
    "the first awq": ({**AWQ, "backend": "llm-awq"}, {}, "arrangement 'llm-awq'"),
    "8 bits of awq": ({**AWQ, "bits": 8}, {}, "8 bits, arrangement"),
    "an activation": (AWQ, {**ORDERED.awq(), "act.scales": torch.ones(8)}, "act.scales belongs to"),
    "rows of awq": (AWQ, {**ORDERED.awq(), "m.scales": torch.ones(2, 16)}, "do not fit each other"),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "held", "message"), REFUSED.values(), ids=REFUSED)
def test_what_only_a_kernel_knows_is_refused(
    asked: dict[str, Any], held: dict[str, Tensor], message: str
) -> None:
    """One sentence with the reason, and a remedy."""
    with pytest.raises(PlmscanError, match=message) as refusal:
        taken_back({KEY: asked}, held)
    assert refusal.value.remedy


def packed(folder: Path, ends: tuple[str, ...], *, turned: bool = False) -> dict[str, Tensor]:
    """Pack matrices of the model in ``folder`` as GPTQ does; what they then are, by name."""
    held = load_file(folder / "model.safetensors")
    expected = {}
    for name in [name for name in held if name.endswith(ends)]:
        whole = held.pop(name).T if turned else held.pop(name)
        outputs, inputs = whole.shape
        one = made(4, inputs, outputs, 16, act=True)
        expected[name] = one.weight.T if turned else one.weight
        stem = name.removesuffix("weight")
        held |= {key.replace("m.", stem, 1): tensor for key, tensor in one.gptq(4).items()}
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config[KEY] = {**GPTQ, "desc_act": True}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return expected


@pytest.mark.parametrize(
    ("family", "ends", "turned"),
    [
        ("bert", ("query.weight", "intermediate.dense.weight"), False),
        ("gpt2", ("c_attn.weight", "c_proj.weight"), True),
    ],
)
def test_a_packed_file_is_the_model_that_its_users_run(
    family: str, ends: tuple[str, ...], tmp_path: Path, *, turned: bool
) -> None:
    """Its layers compute with the matrices that were packed, however the library keeps them."""
    folder = build_tiny(family, tmp_path)
    expected = packed(folder, ends, turned=turned)
    state = load(artifact_of(folder), "cpu").module.state_dict()
    assert len(expected) >= 4
    for name, matrix in expected.items():
        torch.testing.assert_close(state[name.removeprefix("transformer.")], matrix)


def test_a_kind_that_is_not_read_is_named(tmp_path: Path) -> None:
    """The remedy names an option that there is."""
    folder = build_tiny("bert", tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config[KEY] = {"quant_method": "aqlm"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match="aqlm") as refusal:
        load(artifact_of(folder), "cpu")
    assert "--also quantised:int8" in refusal.value.remedy
