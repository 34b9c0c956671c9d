"""Half the digits, where they were asked for or the hardware can multiply them."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from plmscan.errors import PlmscanError
from plmscan.loading import load
from plmscan.loading.precision import half_precision, halves, in_full
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
MODEL = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 4), nn.Linear(8, 9, bias=False))
ROWS = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))


def product(*, half: bool) -> torch.Tensor:
    """A product of matrices."""
    with half_precision(MODEL, CPU) if half else nullcontext():
        return ROWS @ ROWS.T


def test_the_result_has_half_the_digits() -> None:
    """And is a plain float after it was asked to be."""
    found = product(half=True)
    assert found.dtype == torch.bfloat16
    assert found.float().dtype == torch.float32
    torch.testing.assert_close(found.float(), ROWS @ ROWS.T, rtol=0.02, atol=0.02)


def test_two_runs_agree_to_the_last_digit() -> None:
    """Half the digits are the same half every time."""
    assert torch.equal(product(half=True), product(half=True))


@pytest.mark.parametrize(
    ("capabilities", "half"),
    [
        ({"avx512_bf16": True}, False),
        ({"avx512_bf16": True, "amx_bf16": True}, True),
        ({}, False),
        ({"avx2": True}, False),
        ({"avx512_bf16": False}, False),
    ],
)
def test_the_hardware_decides_if_nobody_does(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], *, half: bool
) -> None:
    """Half the digits where they are multiplied faster; who asks for one of the two gets it."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    assert halves("auto", CPU) is half
    assert not halves("float32", CPU)
    assert halves("bfloat16", CPU)


def test_this_machine_decides_the_same_way_every_time() -> None:
    """By what it can do, not by a timing."""
    assert halves("auto", CPU) is halves("auto", CPU)


def test_another_device_is_judged_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the CPU can do says nothing of an accelerator beside it."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": True})
    assert not halves("auto", torch.device("mps"))


@pytest.mark.parametrize("name", ["", "half", "float16", "AUTO"])
def test_there_is_no_other_precision(name: str) -> None:
    """The error says which there are."""
    with pytest.raises(PlmscanError, match="no precision") as caught:
        halves(name, CPU)
    assert "auto, float32 or bfloat16" in caught.value.diagnostics()


@pytest.mark.parametrize(
    ("architecture", "half"), [("bert", True), ("deberta-v2", True), ("deberta", False)]
)
def test_a_model_is_halved_where_its_code_allows_it(
    tmp_path: Path, architecture: str, *, half: bool
) -> None:
    """DeBERTa's first version cannot hide positions in half the digits, which an experiment shows.

    With float32 every model keeps all digits.
    """
    artifact = artifact_of(build_tiny(architecture, tmp_path))
    assert load(artifact, "cpu", "bfloat16").halved is half
    assert not load(artifact, "cpu", "float32").halved


def test_it_ends_with_its_block() -> None:
    """What is judged afterwards is judged in full."""
    product(half=True)
    assert (ROWS @ ROWS.T).dtype == torch.float32


def test_matrices_are_rounded_for_the_block_and_come_back() -> None:
    """What a table shares with a layer keeps its digits, and autocast would say the same."""
    table, layer, tied = nn.Embedding(9, 8), nn.Linear(8, 4), nn.Linear(8, 9, bias=False)
    tied.weight = table.weight
    before = [p.data_ptr() for p in (layer.weight, layer.bias, table.weight)]
    with half_precision(nn.Sequential(table, layer, tied), CPU):
        assert layer.weight.dtype == layer.bias.dtype == torch.bfloat16
        assert table.weight.dtype == torch.float32
        rounded = layer(ROWS)
    assert [p.data_ptr() for p in (layer.weight, layer.bias, table.weight)] == before
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(ROWS), rounded)


def test_arithmetic_inside_can_have_all_digits() -> None:
    """What is made of features is not rounded again."""
    with half_precision(MODEL, CPU), in_full(CPU):
        assert torch.equal(ROWS @ ROWS.T, product(half=False))


def test_matrices_come_back_after_an_error() -> None:
    """A search that runs out of time leaves the model as it was."""
    layer = nn.Linear(8, 4)
    with suppress(ArithmeticError), half_precision(layer, CPU):
        raise ArithmeticError
    assert layer.weight.dtype == layer.bias.dtype == torch.float32
