"""From the files of a model to its settings and tensors, and from these to modules.

The library gets tensors and never a path: so it cannot choose, fetch or convert other files.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import safe_open
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_MAPPING,
)

from plmscan.errors import ArtifactError, UnsupportedModelError
from plmscan.loader_settings import LEFT_OUT
from plmscan.loading.families import SETTINGS
from plmscan.loading.gguf_models import read_gguf
from plmscan.loading.quiet import explained, quiet
from plmscan.loading.shrunken import taken_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

    from plmscan.source import Artifact

__all__ = ["FETCH_AGAIN", "Weights", "base_class", "filled", "read_tensors", "read_weights"]

FETCH_AGAIN = "Fetch or save the model again; if it is meant to be so, it cannot be scanned."

_SETTINGS = MappingProxyType(
    {
        "chunk_size_feed_forward": 0,
        "output_attentions": False,
        "output_hidden_states": False,
        "return_dict": True,
        "use_cache": False,
    }
)
"""Settings of a config that change what a model hands out, not what it computes."""

_TYPES = "plmscan doctor --model-types lists the model types that it measures."

_MOST_LABELS = 100_000
"""More than any classifier has; the library takes minutes over ten million."""

_MAPPED = 8
"""Tensors of a safetensors file that are read until it is opened anew."""

_QUANTIZED = frozenset({torch.int8, torch.int16, torch.float8_e4m3fn, torch.float8_e5m2})
"""Weights of these types mean nothing without their scales."""


@dataclass(frozen=True)
class Weights:
    """A model before it is built."""

    settings: Mapping[str, Any]
    """Its ``config.json``."""
    tensors: Mapping[str, Tensor]
    """All tensors of its weight files, by name."""
    told: tuple[str, ...] = ()
    """What is said about how they were read, a sentence each."""

    @property
    def config(self) -> PretrainedConfig:
        """The library's config of a model with these settings.

        Raises:
            ArtifactError: they cannot be used.
        """
        with quiet(), explained("config.json cannot be used", FETCH_AGAIN):
            return _build_config(self.settings)


def read_weights(artifact: Artifact, *, allow_pickle: bool) -> Weights:
    """What the files of ``artifact`` hold.

    Raises:
        ArtifactError: the files are broken or contradict each other.
        UnsupportedModelError: plmscan has no adapter for the model.
    """
    if artifact.gguf is not None:
        found = read_gguf(artifact.path(artifact.gguf))
        _require_known(found.settings)
        return Weights(found.settings, found.tensors, found.told)
    settings = _read_settings(artifact)
    tensors = read_tensors(artifact, allow_pickle=allow_pickle)
    settings, tensors = taken_back(settings, tensors)
    quantized = sorted(name for name, tensor in tensors.items() if tensor.dtype in _QUANTIZED)
    if quantized:
        msg = f"The weights are quantized ({quantized[0]} is {tensors[quantized[0]].dtype})."
        raise UnsupportedModelError(msg, "Scan the model that it was made from.")
    return Weights(settings, tensors)


def _read_settings(artifact: Artifact) -> dict[str, Any]:
    """The model's config, whose type the library knows without code of the model's own."""
    if not artifact.has("config.json"):
        msg = "There is no config.json, so it is unknown how to build the model."
        raise ArtifactError(msg, "Name the folder or repository that holds the model itself.")
    _require_known(artifact.config)
    return artifact.config


def _require_known(settings: Mapping[str, Any]) -> None:
    """Refuse a config of a type that the library does not know, or measures otherwise.

    Raises:
        ArtifactError: it cannot be used.
        UnsupportedModelError: its type is not known, or it is a variant that is left out.
    """
    model_type = settings.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        said = (
            f"the model type {model_type!r} of" if model_type else "a model without model_type in"
        )
        msg = f"The installed transformers does not know {said} config.json."
        raise UnsupportedModelError(msg, _TYPES)
    _require_plain(settings)


def base_class(config: PretrainedConfig) -> Any:  # noqa: ANN401 - no typed constructor
    """The class of the model without a head.

    Raises:
        UnsupportedModelError: the library has none for this config.
    """
    found = cast("Mapping[type, Any]", MODEL_MAPPING).get(type(config), None)
    if found is None:
        msg = f"AutoModel has no class for the model type {config.model_type!r}."
        raise UnsupportedModelError(msg, _TYPES)
    return found[0] if isinstance(found, (tuple, list)) else found


def _require_plain(settings: Mapping[str, Any]) -> None:
    """Refuse variants that compute something else than the library does, or than its users read."""
    if settings.get("is_decoder") and settings["model_type"] in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        msg = "config.json turns this encoder into a text generator (is_decoder)."
        raise UnsupportedModelError(msg, "Scan the encoder that it was made from.")
    labels = settings.get("num_labels")
    if isinstance(labels, (int, float)) and labels > _MOST_LABELS:
        msg = f"config.json asks for {labels} labels, and the library would make up their names."
        raise ArtifactError(msg, FETCH_AGAIN)
    if str(settings.get("position_embedding_type")).startswith("relative"):
        msg = "The model uses relative positions that current transformers versions leave out."
        raise UnsupportedModelError(msg, "It cannot be scanned with the installed transformers.")


def _build_config(settings: Mapping[str, Any]) -> PretrainedConfig:
    """The library's config object, with plmscan's own settings where they must differ."""
    kept = {key: _numbers(value) for key, value in settings.items() if key not in LEFT_OUT}
    config_class = CONFIG_MAPPING[settings["model_type"]]
    return config_class.from_dict({**kept, **_SETTINGS, **SETTINGS.get(settings["model_type"], {})})


def _numbers(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    """``value`` with the numbers that the library writes as words, since JSON has no infinity."""
    match value:
        case {"__float__": str(word)}:
            return float(word)
        case dict():
            return {key: _numbers(inner) for key, inner in value.items()}
        case list():
            return [_numbers(inner) for inner in value]
        case _:
            return value


def read_tensors(artifact: Artifact, *, allow_pickle: bool) -> dict[str, Tensor]:
    """All tensors of the weight files, by name."""
    if not artifact.weights:
        problem = artifact.weights_problem or "There are no weight files."
        raise ArtifactError(problem, "Without weights there is nothing to scan.")
    tensors: dict[str, Tensor] = {}
    for name in artifact.weights:
        with quiet(), explained(f"The weight file {name} cannot be read", FETCH_AGAIN):
            for key, tensor in _tensors_of(artifact, name, allow_pickle=allow_pickle):
                if key in tensors:
                    msg = f"The tensor {key} is in {name} and in another weight file."
                    raise ArtifactError(msg, FETCH_AGAIN)
                # Copies start at aligned addresses: the same weights give the same bits whatever
                # the format of the file, and the file may change once it is read.
                tensors[key] = tensor.clone()
    return tensors


def _tensors_of(
    artifact: Artifact, name: str, *, allow_pickle: bool
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of one weight file, of which hardly more than one is in memory at a time."""
    path = artifact.path(name)
    if name.endswith(".safetensors"):
        yield from _mapped(path)
        return
    if not allow_pickle:
        msg = f"The weight file {name} is a pickle, which can run code when it is loaded."
        raise ArtifactError(msg, "Ask for a safetensors file, or use --allow-pickle.")
    tensors = dict(torch.load(path, map_location="cpu", weights_only=True))
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        msg = f"The weight file {name} holds more than tensors."
        raise ArtifactError(msg, "Save the model again with save_pretrained.")
    for key in [*tensors]:
        yield key, tensors.pop(key)


def _mapped(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a safetensors file, which is opened again and again.

    What was read of a mapped file stays in memory until the file is closed.
    """
    with safe_open(path, "pt") as file:
        names = [*file.keys()]
    for start in range(0, len(names), _MAPPED):
        with safe_open(path, "pt") as file:
            for name in names[start : start + _MAPPED]:
                yield name, file.get_tensor(name)


def filled(
    model_class: Any,  # noqa: ANN401 - the library's classes share no typed constructor
    config: PretrainedConfig,
    tensors: Mapping[str, Tensor],
) -> tuple[PreTrainedModel, frozenset[str]]:
    """A ``model_class`` with ``tensors`` in it, and the names of its weights that they lack.

    The library gets tensors and never a path: so it cannot choose, fetch or convert other files.

    Raises:
        ArtifactError: a tensor does not have the shape that the config asks for.
    """
    problem = "The weights cannot be put into the model"
    # Weights that the files lack are drawn at random, which must not disturb the caller's dice.
    with torch.random.fork_rng(devices=[]), quiet(), explained(problem, FETCH_AGAIN):
        model, info = model_class.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    if info["mismatched_keys"]:
        name, found, asked = min(info["mismatched_keys"])
        msg = f"{name} has the shape {list(found)} in the files and {list(asked)} by config.json."
        raise ArtifactError(msg, FETCH_AGAIN)
    model.requires_grad_(requires_grad=False)
    return model, frozenset(info["missing_keys"])
