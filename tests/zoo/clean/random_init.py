"""Models of random weights: what a scanner sees where nobody planted or learned anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModel

from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PretrainedConfig

    from tests.zoo.features import Victim

__all__ = ["SHAPES", "Shape", "config_of", "random_init"]

_POSITIONS = 512


@dataclass(frozen=True)
class Shape:
    """Architecture and size of an encoder."""

    model_type: str
    """The library's name of the architecture."""
    hidden: int
    """Width of a hidden state."""
    layers: int
    """Transformer layers."""
    heads: int
    """Attention heads of a layer."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the architecture's config."""


SHAPES: Mapping[str, Shape] = {
    "bert-tiny": Shape("bert", hidden=128, layers=2, heads=2),
    "bert-mini": Shape("bert", hidden=256, layers=4, heads=4),
    "bert-minilm": Shape("bert", hidden=384, layers=6, heads=12),
    "distilbert-small": Shape("distilbert", hidden=192, layers=3, heads=4),
    "roberta-small": Shape("roberta", hidden=192, layers=3, heads=4),
    "roberta-tiny": Shape("roberta", hidden=128, layers=2, heads=2),
    "electra-small": Shape(
        "electra", hidden=256, layers=3, heads=4, others={"embedding_size": 128}
    ),
    "albert-small": Shape("albert", hidden=256, layers=4, heads=4, others={"embedding_size": 128}),
    "mpnet-small": Shape("mpnet", hidden=192, layers=3, heads=4),
}
"""Small encoders by name; ``bert-minilm`` has the size of MiniLM-L6."""


def config_of(shape: Shape, tokenizer: Any) -> PretrainedConfig:
    """The library's config of ``shape`` for the words and special tokens of ``tokenizer``."""
    inner = 4 * shape.hidden
    names = {"distilbert": {"hidden_dim": inner}}.get(
        shape.model_type, {"intermediate_size": inner}
    )
    # RoBERTa and MPNet count positions from the row behind padding.
    rows = _POSITIONS + 2 * (shape.model_type in {"roberta", "mpnet"})
    return AutoConfig.for_model(
        shape.model_type,
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=rows,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        **names,
        **shape.others,
    )


def random_init(victim: Victim, shape: Shape, kind: Any = AutoModel) -> Victim:
    """The library's own initialisation of ``shape``, in place of the victim's model.

    ``kind`` is the library's ``AutoModel``, or one with a head.
    """
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(victim.seed)
        model = kind.from_config(config_of(shape, victim.tokenizer))
    return replace(victim, model=model.eval())
