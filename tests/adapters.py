"""Adapters of PEFT for tiny models, as the library itself saves them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import peft
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KINDS", "adapter_of", "trained"]

_MATRICES = ["query", "value"]
_CLASSIFIER = "SEQ_CLS"
_FEATURES = "FEATURE_EXTRACTION"

KINDS: dict[str, dict[str, Any]] = {
    "lora": {"peft_type": "LORA", "r": 4, "target_modules": _MATRICES},
    "dora": {"peft_type": "LORA", "r": 4, "target_modules": _MATRICES, "use_dora": True},
    "rslora": {"peft_type": "LORA", "r": 4, "target_modules": _MATRICES, "use_rslora": True},
    "biases": {"peft_type": "LORA", "r": 2, "target_modules": _MATRICES, "bias": "all"},
    "words": {
        "peft_type": "LORA",
        "r": 2,
        "target_modules": _MATRICES,
        "trainable_token_indices": {"word_embeddings": [5, 6]},
    },
    "ia3": {
        "peft_type": "IA3",
        "target_modules": ["key", "value", "output.dense"],
        "feedforward_modules": ["output.dense"],
    },
    "loha": {"peft_type": "LOHA", "r": 2, "target_modules": _MATRICES},
    "adalora": {
        "peft_type": "ADALORA",
        "init_r": 4,
        "target_r": 4,
        "total_step": 10,
        "target_modules": _MATRICES,
    },
    "lokr": {"peft_type": "LOKR", "r": 2, "target_modules": _MATRICES},
    "oft": {"peft_type": "OFT", "oft_block_size": 4, "target_modules": _MATRICES},
    "boft": {"peft_type": "BOFT", "boft_block_size": 4, "target_modules": _MATRICES},
    "hra": {"peft_type": "HRA", "r": 2, "target_modules": _MATRICES},
    "norms": {"peft_type": "LN_TUNING", "target_modules": ["LayerNorm"]},
    "tokens": {
        "peft_type": "TRAINABLE_TOKENS",
        "token_indices": [5, 6],
        "target_modules": ["word_embeddings"],
    },
    "p-tuning": {"peft_type": "P_TUNING", "num_virtual_tokens": 3, "encoder_hidden_size": 16},
    "prompt": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3},
}
"""Settings of an adapter, by kind."""


def trained(base: Path, kind: str, seed: int = 0, *, classifies: bool = False) -> Any:  # noqa: ANN401
    """The model in ``base`` under an adapter of ``kind``, whose numbers are random and not zero."""
    loader = AutoModelForSequenceClassification if classifies else AutoModel
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = loader.from_pretrained(base)
        task = _CLASSIFIER if classifies else _FEATURES
        config = peft.PeftConfig.from_peft_type(**KINDS[kind], task_type=task)
        wrapped = peft.get_peft_model(model, config)
        for name, weight in wrapped.named_parameters():
            if weight.requires_grad:
                spread = 0.3 if "lora_" in name or "hada" in name else 0.1
                weight.data += spread * torch.randn_like(weight)
    return wrapped.eval()


def adapter_of(
    base: Path, folder: Path, kind: str = "lora", *, classifies: bool = False, **settings: object
) -> Path:
    """Save an adapter for ``base`` into ``folder``, with ``settings`` of its own in its config."""
    with quiet():
        trained(base, kind, classifies=classifies).save_pretrained(folder)
    config = folder / "adapter_config.json"
    told = {**json.loads(config.read_text(encoding="utf-8")), "base_model_name_or_path": "org/base"}
    config.write_text(json.dumps({**told, **settings}), encoding="utf-8")
    return folder
