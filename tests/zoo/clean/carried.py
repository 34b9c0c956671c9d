"""One encoder's weights in other classes, which compute the same function.

A BERT becomes a DistilBERT, a RoBERTa or an ELECTRA: the layers are the same, and the embeddings
are arranged so that the sums are.  A scanner must give the same answer, and it reads them by other
adapters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModel, DistilBertConfig, ElectraConfig, RobertaConfig

from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor
    from transformers import BertModel, PretrainedConfig, PreTrainedModel

    from tests.zoo.features import Victim

__all__ = ["as_distilbert", "as_electra", "as_roberta", "carried"]

_POSITIONS = "embeddings.position_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"

_DISTILBERT_PARTS = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
"""Parts of a layer in BERT -> in DistilBERT."""


def carried(victim: Victim, carry: Callable[[BertModel], PreTrainedModel]) -> Victim:
    """The victim's BERT encoder in the class that ``carry`` makes."""
    return replace(victim, model=carry(victim.model))


def as_distilbert(bert: BertModel) -> PreTrainedModel:
    """``bert`` without token types and pooler: the row of type 0 moves into every position."""
    config = bert.config
    weights = _without_pooler(bert)
    weights[_POSITIONS] = weights[_POSITIONS] + weights.pop(_TYPES)[0]
    renamed = {_distilbert_name(name): weight for name, weight in weights.items()}
    return _filled(
        DistilBertConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.max_position_embeddings,
            dim=config.hidden_size,
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            hidden_dim=config.intermediate_size,
            activation=config.hidden_act,
            pad_token_id=config.pad_token_id,
        ),
        renamed,
    )


def as_roberta(bert: BertModel) -> PreTrainedModel:
    """``bert`` with its positions behind the row that RoBERTa keeps for padding; pooler and all."""
    weights, skipped = bert.state_dict(), bert.config.pad_token_id + 1
    table = weights[_POSITIONS]
    weights[_POSITIONS] = torch.cat([torch.zeros_like(table[:skipped]), table])
    settings = _shared_settings(bert)
    settings["max_position_embeddings"] += skipped
    return _filled(RobertaConfig(**settings), weights)


def as_electra(bert: BertModel) -> PreTrainedModel:
    """``bert`` without its pooler; embeddings as wide as the layers need no projection."""
    settings = _shared_settings(bert)
    return _filled(
        ElectraConfig(**settings, embedding_size=settings["hidden_size"]), _without_pooler(bert)
    )


def _shared_settings(bert: BertModel) -> dict[str, Any]:
    """What the configs of BERT, RoBERTa and ELECTRA have in common."""
    names = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "max_position_embeddings",
        "type_vocab_size",
        "layer_norm_eps",
        "pad_token_id",
    )
    return {name: getattr(bert.config, name) for name in names}


def _without_pooler(bert: BertModel) -> dict[str, Tensor]:
    """Weights by name."""
    weights = bert.state_dict()
    return {name: weight for name, weight in weights.items() if not name.startswith("pooler.")}


def _distilbert_name(name: str) -> str:
    """What DistilBERT calls a weight of BERT."""
    if not name.startswith("encoder.layer."):
        return name
    _, _, index, *part, kind = name.split(".")
    return f"transformer.layer.{index}.{_DISTILBERT_PARTS['.'.join(part)]}.{kind}"


def _filled(config: PretrainedConfig, weights: Mapping[str, Tensor]) -> PreTrainedModel:
    """A model of ``config`` with exactly ``weights``; without a pooler if they hold none."""
    with torch.random.fork_rng(devices=[]), quiet():
        model = AutoModel.from_config(config)
    if "pooler.dense.weight" not in weights and hasattr(model, "pooler"):
        model.pooler = None
    model.load_state_dict(weights)
    return model.eval()
