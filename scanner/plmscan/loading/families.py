"""Which architectures plmscan can read, and where each keeps what: pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FAMILIES", "Family", "Location"]


class Location(StrEnum):
    """Where a feature vector of a text is read."""

    CLS = "cls"
    """Last hidden state of the classification token."""
    POOLER = "pooler"
    """Output of the pooler that the architecture puts on the classification token."""
    MEAN = "mean"
    """Mean of the last hidden state over the real tokens, special tokens included."""
    MASK = "mask"
    """Last hidden state of the first mask token."""
    LAST = "last"
    """Last hidden state of the last real token."""


@dataclass(frozen=True)
class Family:
    """How models of one ``model_type`` are read."""

    decoder: bool = False
    """Tokens see only what precedes them, so a text is read at its last token."""
    cls_last: bool = False
    """The classification token ends a text instead of beginning it."""
    pooler: str = ""
    """Name of the base model's pooler, whose weights begin with it; empty without one."""
    encoder: str = ""
    """Part of the base model that is measured; empty for all of it."""
    padded_positions: bool = False
    """The position table begins with rows for padding that no token can use."""
    transposed: bool = False
    """The model looks its words up as (n, b) instead of (b, n)."""
    full_precision: bool = False
    """The library's code cannot be run under autocast."""
    settings: tuple[tuple[str, bool], ...] = ()
    """Settings that override the model's own config."""
    head_outputs: str = "attention.output.dense"
    """End of the name of each layer's module that takes in what its heads give, side by side;
    empty where no module does."""


_ENCODER = Family()
_POOLED = Family(pooler="pooler")
_ROBERTA = Family(pooler="pooler", padded_positions=True)
# It hides positions behind the smallest float32, which bfloat16 cannot hold.
_DEBERTA = Family(full_precision=True)
_DECODER = Family(decoder=True, head_outputs="self_attn.o_proj")
_XLNET = Family(
    cls_last=True, transposed=True, settings=(("use_mems_eval", False),), head_outputs=""
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "albert": Family(pooler="pooler", head_outputs="attention.dense"),
        "bart": Family(encoder="encoder", head_outputs="self_attn.out_proj"),
        "bert": _POOLED,
        "camembert": _ROBERTA,
        "deberta": _DEBERTA,
        "deberta-v2": _DEBERTA,
        "distilbert": Family(head_outputs="attention.out_lin"),
        "electra": _ENCODER,
        "gpt2": Family(decoder=True, head_outputs="attn.c_proj"),
        "llama": _DECODER,
        "mistral": _DECODER,
        "modernbert": Family(head_outputs="attn.Wo"),
        "mpnet": Family(pooler="pooler", padded_positions=True, head_outputs="attention.attn.o"),
        "qwen2": _DECODER,
        "qwen3": _DECODER,
        "roberta": _ROBERTA,
        "xlm-roberta": _ROBERTA,
        "xlnet": _XLNET,
    }
)
"""The families by the ``model_type`` of their config."""
