"""Short texts that share a row of attention."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from plmscan.loading import LoadedModel, load, short_texts
from plmscan.loading.short_texts import key_by_key, side_by_side, together
from tests.artifacts import artifact_of
from tests.tiny_models import FAMILIES, build_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

HALF = torch.bfloat16
HALVED = [family for family in FAMILIES if family != "deberta"]
"""DeBERTa's first version does not run in half the digits."""


def states(
    model: LoadedModel, texts: int, length: int, *, shared: bool, halved: bool = True
) -> Tensor:
    """Last hidden states of random texts, in half the digits or in all, (b, n, h)."""
    torch.manual_seed(0)
    ids = torch.randint(5, model.vocabulary_size, (texts, length))
    with torch.no_grad(), torch.autocast("cpu", HALF, enabled=halved):
        if not shared:
            return model.forward(ids).hidden.float()
        with together(model.module):
            return model.forward(ids).hidden.float()


@given(st.integers(1, 12), st.integers(1, 15), st.sampled_from([None, 0.3]), st.integers(0, 9))
def test_texts_side_by_side_see_what_they_see_alone(
    texts: int, length: int, scale: float | None, seed: int
) -> None:
    """Any number of texts of any length that shares, with any scale: the numbers of the kernel."""
    torch.manual_seed(seed)
    query, key, value = torch.randn(3, texts, 2, length, 8)
    alone = scaled_dot_product_attention(query, key, value, scale=scale).transpose(1, 2)
    assert_close(side_by_side(query, key, value, scale), alone, rtol=1e-4, atol=1e-5)


@given(*(st.integers(1, 5) for _ in range(4)), st.sampled_from([None, 0.3]), st.integers(0, 9))
def test_keys_taken_one_by_one_give_what_the_kernel_gives(
    texts: int, length: int, keys: int, heads: int, scale: float | None, seed: int
) -> None:
    """Any number of texts, tokens, keys and heads, a chunk of texts at a time."""
    torch.manual_seed(seed)
    query = torch.randn(texts, heads, length, 8)
    key, value = torch.randn(2, texts, heads, keys, 8)
    alone = scaled_dot_product_attention(query, key, value, scale=scale).transpose(1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(short_texts, "_CHUNK", 2)
        assert_close(key_by_key(query, key, value, scale), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [4, 7, 9])
@pytest.mark.parametrize("family", HALVED)
def test_no_architecture_reads_texts_otherwise(family: str, length: int, tmp_path: Path) -> None:
    """Hidden states are the same but for rounding, and in decoders to the last digit."""
    model = load(artifact_of(build_tiny(family, tmp_path / "model")), "cpu")
    alone, shared = (states(model, 11, length, shared=one) for one in (False, True))
    assert_close(shared, alone, rtol=0.05, atol=0.05)
    assert not model.is_decoder or torch.equal(shared, alone)


@pytest.mark.parametrize("length", [2, 4, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_architecture_reads_few_keys_otherwise(family: str, length: int, tmp_path: Path) -> None:
    """With all digits hidden states are the same but for the last ones."""
    model = load(artifact_of(build_tiny(family, tmp_path / "model")), "cpu", "float32")
    alone, by_keys = (states(model, 11, length, shared=one, halved=False) for one in (False, True))
    assert_close(by_keys, alone, rtol=1e-3, atol=1e-4)


def test_the_library_attends_as_before_afterwards(tmp_path: Path) -> None:
    """Also where something breaks inside."""
    model = load(artifact_of(build_tiny("bert", tmp_path / "model")), "cpu")
    with suppress(ArithmeticError), together(model.module):
        assert model.module.config._attn_implementation != "sdpa"
        raise ArithmeticError
    assert model.module.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("padded", [False, True])
def test_padded_texts_and_gradients_are_left_to_the_library(
    *, padded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask, or a gradient that is asked for: no row is shared."""
    model = load(artifact_of(build_tiny("bert", tmp_path / "model")), "cpu")
    monkeypatch.setattr(short_texts, "side_by_side", lambda *_: pytest.fail("shared"))
    ids, mask = model.batch([(2, 89, 3), (2, 89, 89, 3)])
    with torch.autocast("cpu", HALF), together(model.module):
        if padded:
            model.forward(ids, mask)
        else:
            model.forward_embeddings(model.embed(ids).requires_grad_(), ids)


def test_short_texts_of_an_encoder_do_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In half the digits and on a CPU every layer asks for it; with all digits keys go one by one.

    More than a few keys are left to the library.
    """
    model = load(artifact_of(build_tiny("bert", tmp_path / "model")), "cpu")
    asked: list[tuple[int, ...]] = []

    def counted(query: Tensor, *rest: Tensor) -> Tensor:
        asked.append(tuple(query.shape))
        return side_by_side(query, *rest)

    monkeypatch.setattr(short_texts, "side_by_side", counted)
    states(model, 9, 4, shared=True)
    assert asked == [(9, 4, 4, 8)] * model.num_layers
    few: list[tuple[int, ...]] = []

    def by_keys(query: Tensor, *rest: Tensor) -> Tensor:
        few.append(tuple(query.shape))
        return key_by_key(query, *rest)

    monkeypatch.setattr(short_texts, "key_by_key", by_keys)
    with together(model.module):
        model.forward(torch.tensor([[2, 89, 3]]))
        model.forward(torch.tensor([[2, 89, 90, 91, 3]]))
    assert len(asked) == model.num_layers
    assert few == [(1, 4, 3, 8)] * model.num_layers
