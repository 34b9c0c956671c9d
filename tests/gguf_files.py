"""GGUF models written by the gguf package, as llama.cpp's converter arranges them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants
from safetensors.torch import load_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

__all__ = ["write_gguf"]

_NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "lm_head": "output",
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
"""transformers' name of a layer -> llama.cpp's (gguf's tensor_mapping)."""


def write_gguf(
    model: Path,
    target: Path,
    kind: str = "F32",
    *,
    more: Callable[[GGUFWriter], object] = lambda _writer: None,
    left_out: tuple[str, ...] = (),
) -> dict[str, np.ndarray[Any, Any]]:
    """Write the model of transformers in the folder ``model`` to the file ``target``.

    Matrices whose rows are whole blocks of ``kind`` are shrunken to it.  ``more`` writes entries or
    tensors beside; ``left_out`` names entries of the architecture that are not written.

    Returns:
        What each tensor of transformers' name then is.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    writer = GGUFWriter(str(target), config["model_type"])
    for key, value in _settings(config).items():
        if key not in left_out:
            add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
            add(f"{config['model_type']}.{key}", value)
    _write_vocabulary(writer, model, config)
    more(writer)
    held = load_file(model / "model.safetensors")
    expected = {name: _written(writer, name, tensor, config, kind) for name, tensor in held.items()}
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def _settings(config: Mapping[str, Any]) -> dict[str, float | int]:
    """Entries of the architecture."""
    if config["model_type"] == "gpt2":
        return {
            "context_length": config["n_positions"],
            "block_count": config["n_layer"],
            "embedding_length": config["n_embd"],
            "feed_forward_length": 4 * config["n_embd"],
            "attention.head_count": config["n_head"],
            "attention.layer_norm_epsilon": config["layer_norm_epsilon"],
        }
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return {
        "context_length": config["max_position_embeddings"],
        "block_count": config["num_hidden_layers"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "rope.freq_base": float(config["rope_parameters"]["rope_theta"]),
        "rope.dimension_count": width,
        "attention.key_length": width,
        "attention.value_length": width,
        "vocab_size": config["vocab_size"],
    }


def _write_vocabulary(writer: GGUFWriter, model: Path, config: Mapping[str, Any]) -> None:
    """Tokens, merges and roles of the byte-level tokenizer beside the model."""
    told = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {**told["model"]["vocab"], **{t["content"]: t["id"] for t in told["added_tokens"]}}
    special = {token["content"] for token in told["added_tokens"]}
    tokens = sorted(ids, key=lambda token: ids[token])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    merges = told["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_eos_token_id(config["eos_token_id"])
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(config["bos_token_id"])


def _written(
    writer: GGUFWriter, name: str, tensor: Tensor, config: Mapping[str, Any], kind: str
) -> np.ndarray[Any, Any]:
    """Write one tensor; what it then is, as transformers keeps it."""
    stem, _, end = name.removeprefix("model.").removeprefix("transformer.").rpartition(".")
    first, _, rest = stem.partition(".")
    if first in ("layers", "h"):
        number, _, layer = rest.partition(".")
        called = f"blk.{number}.{_NAMES[layer]}.{end}"
    else:
        called = f"{_NAMES[stem]}.{end}"
    heads = config.get("num_key_value_heads" if "attn_k" in called else "num_attention_heads", 1)
    turned = ".c_" in stem and f".{stem}.".count(".c_") and end == "weight" and tensor.dim() == 2
    paired = config["model_type"] == "llama" and (".attn_q." in called or ".attn_k." in called)
    numbers = tensor.float().numpy()
    numbers = numbers.T if turned else numbers
    numbers = _in_pairs(numbers, heads) if paired else numbers
    kept = _shrunken(writer, called, np.ascontiguousarray(numbers), kind)
    kept = _in_halves(kept, heads) if paired else kept
    return kept.T if turned else kept


def _shrunken(
    writer: GGUFWriter, name: str, numbers: np.ndarray[Any, Any], kind: str
) -> np.ndarray[Any, Any]:
    """Write numbers, matrices in blocks of ``kind``; what they then are."""
    if kind == "F32" or numbers.ndim < 2 or numbers.shape[-1] % 32:
        writer.add_tensor(name, numbers)
        return numbers
    asked = GGMLQuantizationType[kind]
    data = quants.quantize(numbers, asked)
    writer.add_tensor(name, data, raw_dtype=asked)
    return np.asarray(quants.dequantize(data, asked))


def _in_pairs(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows (heads x width) whose halves of each head are turned together, as neighbours."""
    width = len(rows) // heads
    order = [h * width + i // 2 + (i % 2) * width // 2 for h in range(heads) for i in range(width)]
    return rows[order]


def _in_halves(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """The same back."""
    back = np.empty_like(rows)
    back[_in_pairs(np.arange(len(rows)), heads)] = rows
    return back
