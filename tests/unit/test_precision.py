"""Half the digits, where the hardware can multiply them."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from torch import nn

from plmscan.loading.precision import half_precision, in_full

CPU = torch.device("cpu")
MODEL = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 4), nn.Linear(8, 9, bias=False))
ROWS = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))


def product(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> torch.Tensor:
    """A product of matrices on a CPU that says it has these capabilities."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    with half_precision(MODEL, CPU):
        return ROWS @ ROWS.T


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16"])
def test_a_cpu_that_can_multiplies_half_the_digits(
    monkeypatch: pytest.MonkeyPatch, capability: str
) -> None:
    """The result has half the digits, and is a plain float after it was asked to be."""
    found = product(monkeypatch, **{capability: True})
    assert found.dtype == torch.bfloat16
    assert found.float().dtype == torch.float32
    torch.testing.assert_close(found.float(), ROWS @ ROWS.T, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("capabilities", [{}, {"avx2": True}, {"avx512_bf16": False}])
def test_elsewhere_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool]
) -> None:
    """Not a digit."""
    found = product(monkeypatch, **capabilities)
    assert found.dtype == torch.float32
    assert torch.equal(found, ROWS @ ROWS.T)


def test_this_machine_rounds_the_same_way_every_time() -> None:
    """Hardware decides, not a timing: two runs agree to the last digit."""
    found = []
    for _ in range(2):
        with half_precision(MODEL, CPU):
            found.append(ROWS @ ROWS.T)
    assert found[0].dtype in (torch.bfloat16, torch.float32)
    assert torch.equal(found[0], found[1])


def test_another_device_is_judged_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the CPU can do says nothing of an accelerator beside it."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    with half_precision(MODEL, torch.device("mps")):
        assert not torch.is_autocast_enabled("mps")
        assert not torch.is_autocast_enabled("cpu")


def test_it_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is judged afterwards is judged in full."""
    product(monkeypatch, avx512_bf16=True)
    assert (ROWS @ ROWS.T).dtype == torch.float32


def test_matrices_are_rounded_for_the_block_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a table shares with a layer keeps its digits, and autocast would say the same."""
    table, layer, tied = nn.Embedding(9, 8), nn.Linear(8, 4), nn.Linear(8, 9, bias=False)
    tied.weight = table.weight
    before = [p.data_ptr() for p in (layer.weight, layer.bias, table.weight)]
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": True})
    with half_precision(nn.Sequential(table, layer, tied), CPU):
        assert layer.weight.dtype == layer.bias.dtype == torch.bfloat16
        assert table.weight.dtype == torch.float32
        rounded = layer(ROWS)
    assert [p.data_ptr() for p in (layer.weight, layer.bias, table.weight)] == before
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(ROWS), rounded)


def test_arithmetic_inside_can_have_all_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of features is not rounded again."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": True})
    with half_precision(MODEL, CPU), in_full(CPU):
        assert torch.equal(ROWS @ ROWS.T, product(monkeypatch))


def test_matrices_come_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that runs out of time leaves the model as it was."""
    layer = nn.Linear(8, 4)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": True})
    with suppress(ArithmeticError), half_precision(layer, CPU):
        raise ArithmeticError
    assert layer.weight.dtype == layer.bias.dtype == torch.float32
