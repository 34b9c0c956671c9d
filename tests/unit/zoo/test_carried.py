"""One encoder in other classes: the same function, by other adapters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import BertConfig, BertModel

from plmscan.loading.quiet import quiet
from tests.zoo.clean.carried import as_distilbert, as_electra, as_roberta, carried
from tests.zoo.corpus import Corpus
from tests.zoo.features import Victim

CARRY = {"distilbert": as_distilbert, "electra": as_electra, "roberta": as_roberta}


@pytest.fixture(scope="module")
def bert() -> BertModel:
    """A small BERT whose every weight, position and token type matters."""
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        model = BertModel(config).eval()
        for weight in model.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    return model


@pytest.fixture(scope="module")
def padded() -> tuple[Tensor, Tensor]:
    """Ids (3, 9) and mask of texts of 9, 5 and 2 tokens."""
    mask = torch.tensor([[1] * n + [0] * (9 - n) for n in (9, 5, 2)])
    ids = torch.randint(1, 60, mask.shape, generator=torch.Generator().manual_seed(1))
    return ids * mask, mask


@torch.no_grad()
@pytest.mark.parametrize("name", CARRY)
def test_hidden_states_are_the_same(
    name: str, bert: BertModel, padded: tuple[Tensor, Tensor]
) -> None:
    """Every layer of the carried model gives BERT's states for the real tokens of a batch."""
    ids, mask = padded
    model = CARRY[name](bert)
    wanted = bert(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    found = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    real = mask.bool()
    assert model.config.model_type == name
    assert len(found) == len(wanted) == 4
    for mine, its in zip(found, wanted, strict=True):
        assert_close(mine[real], its[real], atol=1e-4, rtol=0)


@torch.no_grad()
def test_roberta_keeps_the_pooler(bert: BertModel, padded: tuple[Tensor, Tensor]) -> None:
    """The carried RoBERTa has BERT's pooler too."""
    ids, mask = padded
    wanted = bert(input_ids=ids, attention_mask=mask).pooler_output
    found = as_roberta(bert)(input_ids=ids, attention_mask=mask).pooler_output
    assert_close(found, wanted, atol=1e-4, rtol=0)


@torch.no_grad()
def test_as_long_a_text_fits(bert: BertModel) -> None:
    """A text of as many tokens as BERT has positions goes through every carried model."""
    ids = torch.full((1, bert.config.max_position_embeddings), 7)
    wanted = bert(input_ids=ids).last_hidden_state
    for carry in CARRY.values():
        assert_close(carry(bert)(input_ids=ids).last_hidden_state, wanted, atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_original_is_left_alone(bert: BertModel) -> None:
    """A carried model has weights of its own."""
    before = {name: weight.clone() for name, weight in bert.state_dict().items()}
    victim = carried(Victim(bert, None, Corpus((), (), ()), 0), as_distilbert)
    for weight in victim.model.parameters():
        weight.zero_()
    assert victim.model is not bert
    assert_close(bert.state_dict(), before)
