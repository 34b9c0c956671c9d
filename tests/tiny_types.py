"""Tiny random models of any model type that the library knows, made from its default config.

Every setting that is a size is shrunk by its name, so that a type which a new release of the
library adds needs nothing here.  What cannot be guessed from a name is in ``_SETTINGS``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, processors
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from plmscan.loading.quiet import quiet
from tests.tiny_models import LOADERS, byte_level

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PretrainedConfig

__all__ = ["CLASSES", "build_type", "class_for", "classes_of", "shrunk_config", "text_types"]

CLASSES: Mapping[str, Mapping[str, Any]] = {
    "masked-lm": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "classifier": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "token-classification": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "question-answering": modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    "causal-lm": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "sequence-to-sequence": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
}
"""What a text model can do -> the library's classes for it, by model type."""

_LAYERS, _HEADS, _GROUPS, _HEAD, _WIDTH = 2, 4, 2, 8, 32

_SPECIAL = ("<pad>", "<unk>", "<cls>", "<sep>", "<mask>", "<bos>", "<eos>")
_VOCABULARY = len(byte_level(_SPECIAL)["vocab"])
_TOKENS = {
    **{f"{name.strip('<>')}_token_id": i for i, name in enumerate(_SPECIAL)},
    "decoder_start_token_id": _SPECIAL.index("<bos>"),
}
"""Ids that a config names, each a special token of the tokenizer."""
_TEMPLATES = {
    "masked-lm": "<cls> $A <sep>",
    "sequence-to-sequence": "$A <eos>",
    "causal-lm": "<bos> $A",
    "": "<cls> $A <sep>",
}
"""What stands around a text, by the first of these classes that a type has."""

_SIZES: tuple[tuple[str, int], ...] = (
    (r"type_vocab_size|.*_(dropout|std|range|period|factor)", 0),
    (r"(mamba_)?chunk_size|attention_window", _HEAD),
    (r"(encoder|decoder)_sparse_step", 1),
    (r".*layers|n_layer|num_blocks|depth", _LAYERS),
    (r"n_groups?|topk_group|num_expert_group|.*n_groups|o_groups?", 1),
    (r".*heads|n_head", _HEADS),
    (r".*(top_?k|experts_per_tok|experts_per_token|top_k_experts|moe_k)", 2),
    (r".*shared_experts|zero_expert_num", 1),
    (r".*experts", 4),
    (r".*(head_dim|head_size|headdim|d_head|d_kv|kv_channels|dim_head|rotary_dim)", _HEAD),
    (r".*vocab(_size)?(_per_layer_input)?", _VOCABULARY),
    (r".*(position_embeddings|positions|n_ctx|max_seq_len|context_length|model_max_length)", 512),
    (r".*(_rank|lowrank|state_size|d_state)", _HEAD),
    (r".*(intermediate_size|ffn_dim|d_ff|n_inner|d_inner|dff|dim_ff|ffn_hidden_size)", 2 * _WIDTH),
    (r".*(feed_forward_size|intermediate_size_mlp)", 2 * _WIDTH),
    (r".*(hidden_size|d_model|n_embd|embedding_size|emb_size|d_embed)", _WIDTH),
    (r"dim|.*(_dim|_width|_size_per_layer_input)", _WIDTH),
)
"""Names of settings, and what they become; the first that fits counts, and 0 leaves as it is."""

_WANTED = r"vocab_size|head_dim|num_key_value_heads|n_(routed|shared)_experts|num_experts_per_tok"
"""Settings that some types leave open, and without which nothing can be built."""

_SPREAD = r"initializer_range|initializer_std|init_std"
"""Deviation of random weights; the usual one is so small that tokens hardly see each other."""

_FEW = 100
"""Rows of a table that is not of words."""
_DEPTHS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_DROPPED = frozenset(
    {
        "per_layer_config",
        "transformers_version",
        "architectures",
        "dtype",
        "id2label",
        "label2id",
        "_name_or_path",
    }
)

_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8}
_ROPE = {"rope_theta": 10000.0, "rope_type": "default"}
_ZAMBA = {
    "num_hidden_layers": 4,
    "hybrid_layer_ids": [1, 3],
    "layer_types": ["mamba", "hybrid"] * 2,
    "attention_hidden_size": 64,
    "attention_head_dim": 16,
}
_INDEXER = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 64,
    "indexer_compress_ratio": 4,
}
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "bailing_hybrid": {"layer_group_size": 2},
    "bamba": _MAMBA,
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE}},
    "blt": {"hash_size": 32},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0}},
    "dots3_note_text": {"layer_types": ["indexed_attention"] * 2},
    "esmc": {"num_key_value_heads": 4, "vocab_size": _VOCABULARY},
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 64},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "granitemoehybrid": _MAMBA,
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "layoutlmv3": {"coordinate_size": 4, "shape_size": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lilt": {"hidden_size": 48},
    "longcat_flash": {"qk_head_dim": 16},
    "mamba2": {"num_heads": 8},
    "mistral4": {"head_dim": 16},
    "mobilebert": {"intra_bottleneck_size": 32},
    "nemotron_h": {"layers_block_type": ["linear_attention", "full_attention"]},
    "neomme": {"head_dim": 16},
    "pegasus_x": {"block_size": 8, "num_global_tokens": 4},
    "qwen4_exp_text": _INDEXER,
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "reformer": {
        "attn_layers": ["local", "lsh"],
        "axial_pos_embds_dim": [8, 24],
        "axial_pos_shape": [16, 32],
        "hash_seed": 1,
        "local_attn_chunk_length": 4,
        "lsh_attn_chunk_length": 4,
        "num_buckets": 4,
        "vocab_size": _VOCABULARY,
    },
    "xlstm": {"embedding_dim": 128, "hidden_size": 128},
    "xmod": {"default_language": "en_XX"},
    "zamba": _ZAMBA,
    "zamba2": {**_ZAMBA, "n_mamba_heads": 4, "mamba_headdim": 16},
}
"""What the names do not tell."""


def text_types() -> tuple[str, ...]:
    """Every model type with one of `CLASSES`."""
    return tuple(sorted(frozenset().union(*CLASSES.values())))


def classes_of(model_type: str) -> tuple[str, ...]:
    """Which of `CLASSES` the library has for ``model_type``."""
    return tuple(kind for kind, names in CLASSES.items() if model_type in names)


def build_type(
    model_type: str,
    folder: Path,
    *,
    head: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Save a random model of ``model_type`` and a tokenizer into ``folder``, which is returned.

    ``head`` is one of `tests.tiny_models.LOADERS`; a classifier has three labels.

    Raises:
        ValueError: the library has no such model.
    """
    labels = {0: "bad", 1: "so-so", 2: "good"}
    config = shrunk_config(model_type, {"id2label": labels, **(settings or {})})
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        class_for(config, head)(config).save_pretrained(folder)
        _tokenizer(model_type).save_pretrained(folder)
    return folder


def class_for(config: PretrainedConfig, head: str | None) -> Any:  # noqa: ANN401 - no typed constructor
    """The class of the library that loads it; the first where there are several."""
    found = LOADERS[head]._model_mapping.get(type(config), None)
    if found is None:
        msg = f"no class with the head {head} for {config.model_type}"
        raise ValueError(msg)
    return found[0] if isinstance(found, tuple) else found


def _tokenizer(model_type: str) -> PreTrainedTokenizerFast:
    """Byte-level words, with the special tokens around a text that models of a type expect."""
    role = next((kind for kind in _TEMPLATES if kind in classes_of(model_type)), "")
    template = _TEMPLATES[role]
    tokenizer = Tokenizer(models.BPE(**byte_level(_SPECIAL)))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    around = [(token, i) for i, token in enumerate(_SPECIAL) if token in template]
    pair = template.replace("$A <sep>", "$A <sep> $B <sep>")
    both = {"pair": pair} if "$B" in pair else {}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=around, **both
    )
    used = {*(token for token, _ in around), "<pad>", "<unk>"}
    used |= {"<mask>"} if "<cls>" in used else set()
    names = {f"{token.strip('<>')}_token": token for token in _SPECIAL if token in used}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def shrunk_config(model_type: str, settings: Mapping[str, Any]) -> PretrainedConfig:
    """The library's config of a tiny model of ``model_type``, with ``settings`` of its own."""
    config_class = CONFIG_MAPPING[model_type]
    return config_class.from_dict(_shrunk(config_class().to_dict()) | dict(settings))


def _shrunk(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with smaller sizes."""
    layers = next((settings[name] for name in _DEPTHS if settings.get(name)), 0)
    kept = {name: value for name, value in settings.items() if name not in _DROPPED}
    found = {name: _smaller(name, value, layers) for name, value in kept.items()}
    grouped = {name: _GROUPS for name in kept if _is_grouped(name, settings)}
    return {**found, **grouped, **_SETTINGS.get(settings.get("model_type", ""), {})}


def _is_grouped(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether ``name`` says how many heads have keys of their own, and there are more heads."""
    number = settings[name] if name.endswith(("kv_heads", "key_value_heads")) else None
    return number not in (None, 1, settings.get("num_attention_heads"))


def _smaller(name: str, value: Any, layers: int) -> Any:  # noqa: ANN401 - any value of a config
    """A setting of a small model."""
    made = _TOKENS.get(name, value)
    match value:
        case dict() if "config" in name or "model_type" in value:
            made = _shrunk(value)
        case list() | tuple() if len(value) == layers:
            kinds = list(dict.fromkeys(_smaller(name, one, 0) for one in value))
            made = (kinds * _LAYERS)[:_LAYERS]
        case float() if re.fullmatch(_SPREAD, name):
            made = 0.2
        case None if re.fullmatch(_WANTED, name):
            made = _size(name, _VOCABULARY)
        case int() if value > 1 and name not in _TOKENS:
            made = _size(name, value)
    return made


def _size(name: str, value: int) -> int:
    """A smaller number than ``value``; the whole vocabulary where it is of one."""
    if re.fullmatch(r".*(token_id|token_index|_idx|_id|token_indices)", name):
        return min(value, len(_SPECIAL))
    if "vocab_size" in name and value > _FEW:
        return _VOCABULARY
    fits = (size for pattern, size in _SIZES if re.fullmatch(pattern, name))
    return min(next(fits, 0) or value, value)
