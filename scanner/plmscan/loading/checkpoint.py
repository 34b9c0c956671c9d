"""From weight files to modules: only tensors that the files hold, nothing made up."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import safe_open
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from plmscan.errors import ArtifactError, UnsupportedModelError
from plmscan.loader_settings import LEFT_OUT
from plmscan.loading.account import Account
from plmscan.loading.families import FAMILIES, Family
from plmscan.loading.heads import share_base
from plmscan.loading.quiet import explained, quiet
from plmscan.loading.readers import Candidate, Reader, read_by, same
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

    family: Family
    """How the model is read."""
    config: PretrainedConfig
    """The model's settings, less those that change what it hands out."""
    base: PreTrainedModel
    """The model without a head, in evaluation mode, without gradients."""
    heads: Mapping[str, PreTrainedModel]
    """Models with the ``classifier`` or ``masked-lm`` head, whose weights are all in the files."""
    gaps: tuple[Gap, ...]
    """What the files hold beside them, and why it is not measured."""
    has_pooler: bool
    """Whether the base model has a pooler with the weights of the files."""


def read_checkpoint(artifact: Artifact, *, allow_pickle: bool, use: Use = Use.HEADS) -> Checkpoint:
    """Build the model that ``artifact`` describes from exactly its weight files.

    Raises:
        ArtifactError: the files are broken or contradict each other.
        UnsupportedModelError: plmscan has no adapter for the model.
    """
    settings, family = _read_settings(artifact)
    with quiet(), explained("config.json cannot be used", _FETCH_AGAIN):
        config = _build_config(settings, family)
    tensors = _read_tensors(artifact, allow_pickle=allow_pickle)
    base_class = cast("Mapping[type, Any]", MODEL_MAPPING)[type(config)]
    _require_layers(config, tensors)
    _require_size(base_class, config, tensors)
    base, missing = _fill(base_class, config, tensors)
    has_pooler = _settle_pooler(base, family, missing)
    built = _Built(family, config, tensors, base, has_pooler)
    heads, account = _read_heads(built, settings.get("architectures"), use)
    _require_finite((base, *heads.values()))
    return Checkpoint(family, config, base, heads, tuple(account.gaps()), has_pooler)


def _read_settings(artifact: Artifact) -> tuple[dict[str, Any], Family]:
    """The model's config, and the family that it belongs to."""
    if not artifact.has("config.json"):
        if artifact.has("adapter_config.json"):
            msg = "The folder holds an adapter (adapter_config.json) without the model it adapts."
            raise UnsupportedModelError(msg, "Merge the adapter into its base model and scan that.")
        msg = "There is no config.json, so it is unknown how to build the model."
        raise ArtifactError(msg, "Name the folder or repository that holds the model itself.")
    settings = artifact.config
    model_type = settings.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        said = (
            f"the model type {model_type!r} of" if model_type else "a model without model_type in"
        )
        msg = f"plmscan has no adapter for {said} config.json."
        raise UnsupportedModelError(msg, f"It reads {', '.join(sorted(FAMILIES))}.")
    _require_plain(settings, family)
    return settings, family


def _require_plain(settings: Mapping[str, Any], family: Family) -> None:
    """Refuse variants of a family that compute something else than its adapter expects."""
    if settings.get("quantization_config") is not None:
        msg = "The weights are quantized (config.json has a quantization_config)."
        raise UnsupportedModelError(msg, "Scan the model that it was made from.")
    if settings.get("is_decoder") and not family.decoder:
        msg = "config.json turns this encoder into a text generator (is_decoder)."
        raise UnsupportedModelError(msg, "Scan the encoder that it was made from.")
    labels = settings.get("num_labels")
    if isinstance(labels, (int, float)) and labels > _MOST_LABELS:
        msg = f"config.json asks for {labels} labels, and the library would make up their names."
        raise ArtifactError(msg, _FETCH_AGAIN)
    if settings.get("position_embedding_type", "absolute") not in ("absolute", None):
        msg = "The model uses relative positions that current transformers versions leave out."
        raise UnsupportedModelError(msg, "It cannot be scanned with the installed transformers.")


def _build_config(settings: Mapping[str, Any], family: Family) -> PretrainedConfig:
    """The library's config object, with plmscan's own settings where they must differ."""
    kept = {key: value for key, value in settings.items() if key not in LEFT_OUT}
    config_class = CONFIG_MAPPING[settings["model_type"]]
    return config_class.from_dict({**kept, **_SETTINGS, **dict(family.settings)})


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
    layers = config.num_hidden_layers
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


def _settle_pooler(base: PreTrainedModel, family: Family, missing: frozenset[str]) -> bool:
    """Whether ``base`` has a pooler of the files; one made up by the library is removed.

    Raises:
        ArtifactError: other weights are missing, without which the model is not the author's.
    """
    made_up = {name for name in missing if family.pooler and name.startswith(f"{family.pooler}.")}
    lost = sorted(missing - made_up)
    if lost:
        msg = f"The files lack {len(lost)} of the model's weights, such as {lost[0]}."
        raise ArtifactError(msg, _FETCH_AGAIN)
    if made_up:
        setattr(base, family.pooler, None)
    return bool(family.pooler) and not made_up


@dataclass(frozen=True)
class _Built:
    """A base model, and what it was made of."""

    family: Family
    """How the model is read."""
    config: PretrainedConfig
    """Its settings."""
    tensors: Mapping[str, Tensor]
    """All tensors of the weight files."""
    base: PreTrainedModel
    """The model without a head."""
    has_pooler: bool
    """Whether it has a pooler of the files."""

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
        part, pooler = self.family.encoder, self.family.pooler
        shared = {source for to, source in ties.items() if to.startswith(f"{part}.")}
        for name, to in reader.weights.items():
            unused = bool(pooler) and not self.has_pooler and to.startswith(f"{pooler}.")
            if not unused and (not part or to.startswith(f"{part}.") or to in shared):
                yield name


def _read_heads(
    built: _Built, architectures: object, use: Use
) -> tuple[dict[str, PreTrainedModel], Account]:
    """Heads that probes read, and an account of everything that the files hold.

    Raises:
        ArtifactError: two tensors are meant for one weight.
    """
    reader = built.reader()
    found = recognised(built.config, built.tensors, architectures)
    read: dict[str, Candidate] = {}
    for head in found.counted if use is not Use.DECLARED else ():
        if is_measurable(head, built.config):
            read.setdefault(head.kind.value, head)
    heads = {name: _read_head(built, head.reader) for name, head in read.items()}
    on_top = (head.reader.own | head.reader.copies for head in read.values())
    account = Account(
        names=frozenset(built.tensors),
        measured=frozenset(built.measured(reader)).union(*on_top),
        base=reader,
        heads=found,
        unread=tuple(head for head in found.counted if head not in read.values()),
        family=built.family,
        config=built.config,
        use=use,
    )
    return heads, account


def _read_head(built: _Built, reader: Reader) -> PreTrainedModel:
    """The head that ``reader`` fills, on top of the base model.

    Raises:
        ArtifactError: two tensors are meant for one of its weights, or one is missing.
    """
    _require_single(reader, built.tensors)
    head, missing = _fill(reader.model_class, built.config, built.tensors)
    if missing:
        msg = f"The files lack weights of {reader.name}, such as {min(missing)}."
        raise ArtifactError(msg, _FETCH_AGAIN)
    share_base(head, built.base)
    return head


def _require_single(reader: Reader, tensors: Mapping[str, Tensor]) -> None:
    """Refuse two different tensors for one weight: a loader takes one, and another the other.

    Raises:
        ArtifactError: there are such tensors.
    """
    first: dict[str, str] = {}
    for name, weight in reader.weights.items():
        other = first.setdefault(weight, name)
        if not same(tensors[name], tensors[other]):
            msg = f"{other} and {name} differ, and both are meant for the weight {weight}."
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
