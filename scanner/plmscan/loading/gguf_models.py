"""GGUF models, through transformers' own reader: settings, and weights taken back to 32 bits.

The reader passes over what it does not know of a file, and other runtimes may not.  So everything
that a file says about how it computes is held against what was read, and a model is refused where
something is left over.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import CONFIG_MAPPING
from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
from transformers.integrations.gguf.reader import read_gguf_metadata
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
    load_gguf_checkpoint,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
)

from plmscan.errors import ArtifactError, UnsupportedModelError
from plmscan.loading.parts import layers_of
from plmscan.loading.quiet import explained, quiet
from plmscan.runtimes.gguf import entry_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["GgufModel", "read_gguf"]

_FETCH_AGAIN = "Fetch or convert the model again; if it is meant to be so, it cannot be scanned."
_WHOLE = "Scan the model that it was made from, with --also quantised:int8 or quantised:nf4."
_NO_ARCHITECTURES = frozenset({"general", "tokenizer"})
"""Keys of transformers' table that stand for no architecture."""
_RENAMED = MappingProxyType(
    {
        "gpt-oss": "gpt_oss",
        "minimax-m2": "minimax_m2",
        "qwen2moe": "qwen2_moe",
        "qwen3moe": "qwen3_moe",
        "t5encoder": "t5",
    }
)
"""Architectures that llama.cpp calls otherwise than transformers' table does."""
_ALSO = MappingProxyType(
    {
        "attention.sliding_window": "sliding_window",
        "attn_logit_softcapping": "attn_logit_softcapping",
        "decoder_block_count": "num_decoder_layers",
        "expert_feed_forward_length": "moe_intermediate_size",
        "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
        "final_logit_softcapping": "final_logit_softcapping",
        "rope.freq_base": "rope_theta",
        "vocab_size": "vocab_size",
    }
)
"""What some architectures' configs are not given, and the setting whose default it has to be."""
_WIDTHS = frozenset({"attention.key_length", "attention.value_length"})
"""What has to be the width of a head; the part of it that is turned is its ``_TURNED``."""
_TURNED = "rope.dimension_count"
_LAST = (0, 3)
"""Ways of llama.cpp to pool that leave the last token as it is (gguf's PoolingType)."""
_USUAL_SPLITS = ("default", "gpt-2", "gpt2")
"""How GPT-2 splits a text, which transformers also does where it does not know the name."""
_ROPE = "rope_freqs.weight"
"""By what the angles of a llama's positions are divided."""
_CLOSE = 1e-6


@dataclass(frozen=True)
class GgufModel:
    """What a GGUF file holds."""

    settings: Mapping[str, Any]
    """What its ``config.json`` would be."""
    tensors: Mapping[str, Tensor]
    """Its weights by the names of transformers."""
    told: tuple[str, ...]
    """What a report says about the reading, a sentence each."""


def read_gguf(path: Path) -> GgufModel:
    """The model in the file ``path``.

    Raises:
        ArtifactError: the file is broken.
        UnsupportedModelError: the gguf package is not there, transformers does not read the
            architecture, or the file holds something that it passes over.
    """
    _require_package()
    _require_plain(path)
    bars = redirect_stderr(StringIO())
    with quiet(), bars, explained(f"{path.name} cannot be read", _FETCH_AGAIN):
        metadata, names = read_gguf_metadata(str(path))
        architecture = str(metadata["general.architecture"])
        table = _table(architecture)
        reader: Any = load_gguf_checkpoint
        settings = dict(reader(str(path))["config"])
        settings.pop("_model_name_or_path", None)
        config = CONFIG_MAPPING[settings["model_type"]].from_dict(dict(settings))
        _require_layers(config, names)
        _require_read(_unread_settings(metadata, architecture, table, config))
        model = _empty(config)
        _require_read(_unread_tensors(names, architecture, settings, model))
        tensors = reader(str(path), return_tensors=True, model_to_load=model)["tensors"]
        if _ROPE in names:
            settings["rope_scaling"] = _stretched(path, config)
    settings["architectures"] = [type(model).__name__]
    return GgufModel(settings, tensors, tuple(_told(metadata)))


def _require_package() -> None:
    """Go on if the gguf package is installed.

    Raises:
        UnsupportedModelError: it is not.
    """
    if find_spec("gguf") is None:
        msg = "GGUF models are read by transformers with the gguf package, which is not installed."
        raise UnsupportedModelError(msg, "Install it: pip install 'plmscan[gguf]'.")


def _require_plain(path: Path) -> None:
    """Refuse metadata that no runtime writes, before a library makes objects of them.

    Raises:
        ArtifactError: they are broken, or give an entry twice, of which each reader takes another.
    """
    try:
        with path.open("rb") as file:
            counts = Counter(entry_names(file, path.stat().st_size))
    except ValueError as error:
        msg = f"{path.name} is broken: {error}."
        raise ArtifactError(msg, _FETCH_AGAIN) from error
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        msg = f"{path.name} gives {twice[0][:80]!r} twice, and readers differ in which they take."
        raise ArtifactError(msg, _FETCH_AGAIN)


def _table(architecture: str) -> Mapping[str, str | None]:
    """What transformers reads of the settings of an architecture, by llama.cpp's names.

    Raises:
        UnsupportedModelError: it does not read such models.
    """
    name = _RENAMED.get(architecture, architecture)
    if name in _NO_ARCHITECTURES or name not in GGUF_CONFIG_MAPPING:
        msg = f"transformers reads no GGUF models of the architecture {architecture[:40]!r}."
        raise UnsupportedModelError(msg, _WHOLE)
    return cast("Mapping[str, str | None]", GGUF_CONFIG_MAPPING[name])


def _require_layers(config: PretrainedConfig, names: Sequence[str]) -> None:
    """Refuse more layers than the file can fill, before they are built.

    Raises:
        ArtifactError: it asks for them.
    """
    if layers_of(config) > len(names):
        msg = f"It asks for {layers_of(config)} layers, and holds {len(names)} tensors."
        raise ArtifactError(msg, _FETCH_AGAIN)


def _require_read(unread: Sequence[str]) -> None:
    """Go on if nothing is left over.

    Raises:
        UnsupportedModelError: something is.
    """
    if unread:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        msg = f"transformers passes over {unread[0][:80]}{more}, by which other runtimes compute."
        raise UnsupportedModelError(msg, _WHOLE)


def _unread_settings(
    metadata: Mapping[str, Any],
    architecture: str,
    table: Mapping[str, str | None],
    config: PretrainedConfig,
) -> list[str]:
    """Settings of the architecture that are neither read nor what ``config`` has anyway."""
    start = f"{architecture}."
    own = {k.removeprefix(start): v for k, v in metadata.items() if k.startswith(start)}
    left = {name: value for name, value in own.items() if table.get(name) is None}
    return sorted(start + n for n, value in left.items() if not _is_so(n, value, config))


def _is_so(name: str, value: object, config: PretrainedConfig) -> bool:
    """Whether a setting that nobody read says what ``config`` says."""
    rope = getattr(config, "rope_parameters", None) or {}
    expected: object
    if name in _WIDTHS:
        expected = _width(config)
    elif name == _TURNED:
        expected = int(_width(config) * rope.get("partial_rotary_factor", 1.0))
    elif name == "rope.scaling.type":
        expected = "none"
    elif name == "pooling_type":
        return value in _LAST
    elif name in _ALSO:
        expected = getattr(config, _ALSO[name], None) or rope.get(_ALSO[name])
    else:
        return False
    if isinstance(value, float) and isinstance(expected, int | float):
        return math.isclose(value, expected, rel_tol=_CLOSE)
    return value == expected


def _width(config: PretrainedConfig) -> int:
    """Numbers of a head."""
    told = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    return int(told or config.hidden_size // config.num_attention_heads)


def _empty(config: PretrainedConfig) -> PreTrainedModel:
    """A model of the class that a GGUF model is loaded with, without weights."""
    every: Sequence[Mapping[type, Any]] = (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        MODEL_MAPPING,
    )
    if config.architectures:  # an encoder alone
        library: Any = import_module("transformers")
        model_class = getattr(library, config.architectures[0])
    else:
        model_class = next(m[type(config)] for m in every if type(config) in m)
    with torch.device("meta"):
        return cast("PreTrainedModel", model_class(config))


def _unread_tensors(
    names: Sequence[str],
    architecture: str,
    settings: Mapping[str, Any],
    model: PreTrainedModel,
) -> list[str]:
    """Tensors for which ``model`` has no place."""
    processor: Any = TENSOR_PROCESSORS.get(architecture, TensorProcessor)
    places = get_gguf_hf_weights_map(model, processor(config=dict(settings)))
    read = {*places, *(f"{name}.weight" for name in places)}
    if settings["model_type"] == "llama":
        read.add(_ROPE)
    return sorted(name for name in names if name not in read)


def _stretched(path: Path, config: PretrainedConfig) -> dict[str, Any]:
    """Settings by which transformers divides the angles of positions as llama.cpp does.

    llama.cpp reads the quotients themselves, where the model that was converted had a formula for
    them; the kind of settings that lists quotients is called longrope in transformers 5.23.
    """
    package = import_module("gguf")
    held = next(t for t in package.GGUFReader(str(path)).tensors if t.name == _ROPE)
    quotients = [float(number) for number in held.data]
    return {
        "rope_type": "longrope",
        "rope_theta": config.rope_parameters["rope_theta"],
        "short_factor": quotients,
        "long_factor": quotients,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": config.max_position_embeddings,
    }


def _told(metadata: Mapping[str, Any]) -> Iterator[str]:
    """How the file was read."""
    package = import_module("gguf")
    kinds = {int(kind): kind.name.lower() for kind in package.LlamaFileType}
    kind = kinds.get(metadata.get("general.file_type", -1), "mixed kinds").removeprefix("mostly_")
    yield f"A GGUF model ({kind}), taken back to 32-bit numbers by transformers' reader."
    splits = metadata.get("tokenizer.ggml.pre")
    known = splits is None or splits in GGUF_PRE_TOKENIZER_SPLITS or splits in _USUAL_SPLITS
    if metadata.get("tokenizer.ggml.model") == "gpt2" and not known:
        yield f"Texts are split as GPT-2 does: transformers does not know {str(splits)[:40]!r}."
