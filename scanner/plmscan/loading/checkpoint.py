"""From weight files to modules: only tensors that the files hold, nothing made up."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from plmscan.loading.account import Account
from plmscan.loading.families import SETTINGS
from plmscan.loading.heads import put_on, share_base
from plmscan.loading.parts import layers_of, measured_part
from plmscan.loading.pooling import pooler_of, remove_pooler
from plmscan.loading.quiet import explained, quiet
from plmscan.loading.readers import WRITES, Candidate, Kind, Reader, read_by, same
from plmscan.loading.recognition import is_measurable, recognised
from plmscan.loading.use import Use

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

    from plmscan.evidence import Gap
    from plmscan.source import Artifact

__all__ = ["Checkpoint", "read_checkpoint"]

_FETCH_AGAIN = "Fetch or save the model again; if it is meant to be so, it cannot be scanned."

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

_MOST_MADE_UP = 4
"""Parameters by config.json for each one in the files; tied ones are counted several times."""

_MOST_LABELS = 100_000
"""More than any classifier has; the library takes minutes over ten million."""

_MAPPED = 8
"""Tensors of a safetensors file that are read until it is opened anew."""

_QUANTIZED = frozenset({torch.int8, torch.int16, torch.float8_e4m3fn, torch.float8_e5m2})
"""Weights of these types mean nothing without their scales."""


@dataclass(frozen=True)
class Checkpoint:
    """The modules of a model with the weights of its files."""

    config: PretrainedConfig
    """The model's settings, less those that change what it hands out."""
    base: PreTrainedModel
    """The model without a head, in evaluation mode, without gradients."""
    part: str
    """Name of the part of it that is measured; empty for all of it."""
    pooler: str
    """Name of the pooler of that part; empty without one."""
    heads: Mapping[str, PreTrainedModel]
    """Models with a head that is measured, whose weights are all in the files, by its kind."""
    gaps: tuple[Gap, ...]
    """What the files hold beside them, and why it is not measured."""
    has_pooler: bool
    """Whether the pooler has the weights of the files."""

    @property
    def measured(self) -> PreTrainedModel:
        """The part of the base model that is measured."""
        return cast("PreTrainedModel", self.base.get_submodule(self.part))


def read_checkpoint(artifact: Artifact, *, allow_pickle: bool, use: Use = Use.HEADS) -> Checkpoint:
    """Build the model that ``artifact`` describes from exactly its weight files.

    Raises:
        ArtifactError: the files are broken or contradict each other.
        UnsupportedModelError: plmscan has no adapter for the model.
    """
    settings = _read_settings(artifact)
    with quiet(), explained("config.json cannot be used", _FETCH_AGAIN):
        config = _build_config(settings)
    tensors = _read_tensors(artifact, allow_pickle=allow_pickle)
    base_class = _base_class(config)
    _require_layers(config, tensors)
    _require_size(base_class, config, tensors)
    base, missing = _fill(base_class, config, tensors)
    part = measured_part(base)
    built = _settled(_Built(config, tensors, base, part), missing)
    heads, account = _read_heads(built, settings.get("architectures"), use)
    _require_finite((base, *heads.values()))
    gaps = tuple(account.gaps())
    return Checkpoint(config, base, part, built.pooler, heads, gaps, built.has_pooler)


def _read_settings(artifact: Artifact) -> dict[str, Any]:
    """The model's config, whose type the library knows without code of the model's own."""
    if not artifact.has("config.json"):
        if artifact.has("adapter_config.json"):
            msg = "The folder holds an adapter (adapter_config.json) without the model it adapts."
            raise UnsupportedModelError(msg, "Merge the adapter into its base model and scan that.")
        msg = "There is no config.json, so it is unknown how to build the model."
        raise ArtifactError(msg, "Name the folder or repository that holds the model itself.")
    settings = artifact.config
    model_type = settings.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        said = (
            f"the model type {model_type!r} of" if model_type else "a model without model_type in"
        )
        msg = f"The installed transformers does not know {said} config.json."
        raise UnsupportedModelError(msg, _TYPES)
    _require_plain(settings)
    return settings


def _base_class(config: PretrainedConfig) -> Any:  # noqa: ANN401 - no typed constructor
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
    if settings.get("quantization_config") is not None:
        msg = "The weights are quantized (config.json has a quantization_config)."
        raise UnsupportedModelError(msg, "Scan the model that it was made from.")
    if settings.get("is_decoder") and settings["model_type"] in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        msg = "config.json turns this encoder into a text generator (is_decoder)."
        raise UnsupportedModelError(msg, "Scan the encoder that it was made from.")
    labels = settings.get("num_labels")
    if isinstance(labels, (int, float)) and labels > _MOST_LABELS:
        msg = f"config.json asks for {labels} labels, and the library would make up their names."
        raise ArtifactError(msg, _FETCH_AGAIN)
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


def _read_tensors(artifact: Artifact, *, allow_pickle: bool) -> dict[str, Tensor]:
    """All tensors of the weight files, by name."""
    if not artifact.weights:
        problem = artifact.weights_problem or "There are no weight files."
        raise ArtifactError(problem, "Without weights there is nothing to scan.")
    tensors: dict[str, Tensor] = {}
    for name in artifact.weights:
        with quiet(), explained(f"The weight file {name} cannot be read", _FETCH_AGAIN):
            for key, tensor in _tensors_of(artifact, name, allow_pickle=allow_pickle):
                if key in tensors:
                    msg = f"The tensor {key} is in {name} and in another weight file."
                    raise ArtifactError(msg, _FETCH_AGAIN)
                # Copies start at aligned addresses: the same weights give the same bits whatever
                # the format of the file, and the file may change once it is read.
                tensors[key] = tensor.clone()
    quantized = sorted(name for name, tensor in tensors.items() if tensor.dtype in _QUANTIZED)
    if quantized:
        msg = f"The weights are quantized ({quantized[0]} is {tensors[quantized[0]].dtype})."
        raise UnsupportedModelError(msg, "Scan the model that it was made from.")
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


def _require_layers(config: PretrainedConfig, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a model without layers, and one with more layers than the files can fill."""
    layers = layers_of(config)
    if layers < 1:
        msg = f"The model has {layers} layers (config.json), so it computes nothing."
        raise ArtifactError(msg, _FETCH_AGAIN)
    if layers > len(tensors):
        msg = f"config.json asks for {layers} layers; the files hold {len(tensors)} tensors."
        raise ArtifactError(msg, _FETCH_AGAIN)


def _require_size(
    model_class: Any,  # noqa: ANN401 - the library's classes share no typed constructor
    config: PretrainedConfig,
    tensors: Mapping[str, Tensor],
) -> None:
    """Refuse a config whose weights the files cannot fill, before the library makes up the rest.

    What is made up takes memory, so a config of a few bytes could ask for all of it.
    """
    with torch.device("meta"), quiet(), explained("config.json cannot be used", _FETCH_AGAIN):
        asked = sum(weight.numel() for weight in model_class(config).parameters())
    held = sum(tensor.numel() for tensor in tensors.values())
    if asked > _MOST_MADE_UP * held:
        msg = f"config.json asks for {asked:,} parameters; the files hold {held:,}."
        raise ArtifactError(msg, _FETCH_AGAIN)


def _fill(
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
    with torch.random.fork_rng(devices=[]), quiet(), explained(problem, _FETCH_AGAIN):
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
        raise ArtifactError(msg, _FETCH_AGAIN)
    model.requires_grad_(requires_grad=False)
    return model, frozenset(info["missing_keys"])


@dataclass(frozen=True)
class _Built:
    """A base model, and what it was made of."""

    config: PretrainedConfig
    """Its settings."""
    tensors: Mapping[str, Tensor]
    """All tensors of the weight files."""
    base: PreTrainedModel
    """The model without a head."""
    part: str
    """Name of the part of it that is measured; empty for all of it."""
    pooler: str = ""
    """Name of the pooler of that part; empty without one."""
    has_pooler: bool = False
    """Whether that is of the files."""

    @property
    def measured_part(self) -> PreTrainedModel:
        """The part of the base model that is measured."""
        return cast("PreTrainedModel", self.base.get_submodule(self.part))

    @property
    def inside(self) -> str:
        """What the names of weights begin with that are in the measured part."""
        return f"{self.part}." if self.part else ""

    def is_in_pooler(self, weight: str) -> bool:
        """Whether ``weight`` belongs to the pooler."""
        return bool(self.pooler) and weight.startswith(f"{self.inside}{self.pooler}.")

    def reader(self) -> Reader:
        """How the base model reads the files.

        Raises:
            ArtifactError: two tensors are meant for one of its weights.
        """
        reader = read_by(type(self.base), self.config, self.tensors)
        if reader is None:
            msg = f"{type(self.base).__name__} cannot be built without its weights."
            raise ArtifactError(msg, _FETCH_AGAIN)
        _require_single(reader, self.tensors)
        return reader

    def measured(self, reader: Reader) -> Iterator[str]:
        """Tensors of the files in the part of the base model that is measured."""
        ties = self.base.get_expanded_tied_weights_keys(all_submodels=True)
        shared = {source for to, source in ties.items() if to.startswith(self.inside)}
        for name, to in reader.weights.items():
            unused = not self.has_pooler and self.is_in_pooler(to)
            if not unused and (to.startswith(self.inside) or to in shared):
                yield name


def _settled(built: _Built, missing: frozenset[str]) -> _Built:
    """``built`` with what is known of its pooler; one made up by the library is removed.

    Raises:
        ArtifactError: other weights are missing, without which the model is not the author's.
        UnsupportedModelError: the model does not run.
    """
    built = replace(built, pooler=pooler_of(built.measured_part))
    made_up = {name for name in missing if built.is_in_pooler(name)}
    lost = sorted(name for name in missing - made_up if name.startswith(built.inside))
    if lost:
        msg = f"The files lack {len(lost)} of the model's weights, such as {lost[0]}."
        raise ArtifactError(msg, _FETCH_AGAIN)
    if made_up:
        remove_pooler(built.measured_part, built.pooler)
    return replace(built, has_pooler=bool(built.pooler) and not made_up)


def _read_heads(
    built: _Built, architectures: object, use: Use
) -> tuple[dict[str, PreTrainedModel], Account]:
    """Heads that probes read, and an account of everything that the files hold.

    Raises:
        ArtifactError: two tensors are meant for one weight.
    """
    reader = built.reader()
    found = recognised(built.config, built.tensors, architectures)
    counted = found.meant_so if use is not Use.DECLARED else ()
    # Whoever uses features reads nothing that the model writes.
    useful = [head for head in counted if not (use.spares_heads and head.kind in WRITES)]
    read = _measured_heads([head for head in useful if is_measurable(head, built.config)])
    heads = {name: _read_head(built, head) for name, head in read.items()}
    on_top = (_read_by(head) for head in read.values())
    account = Account(
        names=frozenset(built.tensors),
        measured=frozenset(built.measured(reader)).union(*on_top),
        base=reader,
        heads=found,
        unread=tuple(head for head in found.counted if head not in read.values()),
        part=built.part,
        config=built.config,
        use=use,
    )
    return heads, account


def _measured_heads(heads: Sequence[Candidate]) -> dict[str, Candidate]:
    """The first head of each kind; of those that give labels, to texts or to tokens, the first."""
    read: dict[Kind, Candidate] = {}
    for head in heads:
        words = head.kind in WRITES or head.kind is Kind.MASKED_LM
        read.setdefault(head.kind if words else Kind.CLASSIFIER, head)
    return {head.kind.value: head for head in read.values()}


def _read_by(head: Candidate) -> frozenset[str]:
    """Tensors that are read where ``head`` is, beside the measured part of the base model."""
    reader = head.reader
    # What writes behind an encoder is read as a whole.
    every = frozenset(reader.weights) if head.kind is Kind.SEQ2SEQ else frozenset[str]()
    return reader.own | reader.copies | every


def _read_head(built: _Built, head: Candidate) -> PreTrainedModel:
    """A model of the library with ``head``, on top of the base model.

    Raises:
        ArtifactError: two tensors are meant for one of its weights, or one is missing.
    """
    reader = head.reader
    _require_single(reader, built.tensors)
    model, missing = _fill(reader.model_class, built.config, built.tensors)
    if missing:
        msg = f"The files lack weights of {reader.name}, such as {min(missing)}."
        raise ArtifactError(msg, _FETCH_AGAIN)
    (put_on if head.kind in WRITES else share_base)(model, built.base)
    return model


def _require_single(reader: Reader, tensors: Mapping[str, Tensor]) -> None:
    """Refuse two different tensors for one weight: a loader takes one, and another the other.

    Raises:
        ArtifactError: there are such tensors.
    """
    first: dict[str, str] = {}
    for name, slot in reader.slots.items():
        other = first.setdefault(slot, name)
        if not same(tensors[name], tensors[other]):
            msg = f"{other} and {name} differ, and both are meant for the weight {slot}."
            raise ArtifactError(msg, _FETCH_AGAIN)


def _require_finite(models: Sequence[PreTrainedModel]) -> None:
    """Refuse weights that are not numbers.

    Raises:
        ArtifactError: a weight is NaN or infinite.
    """
    for model in models:
        for name, weight in model.named_parameters():
            if weight.numel() and not torch.stack(torch.aminmax(weight)).isfinite().all():
                msg = f"{name} holds values that are not finite numbers (NaN or infinite)."
                raise ArtifactError(msg, _FETCH_AGAIN)
