"""From weight files to modules: only tensors that the files hold, nothing made up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch

from plmscan.errors import ArtifactError
from plmscan.loading.account import Account
from plmscan.loading.heads import put_on, share_base
from plmscan.loading.parts import layers_of, measured_part
from plmscan.loading.pooling import pooler_of, remove_pooler
from plmscan.loading.quiet import explained, quiet
from plmscan.loading.readers import WRITES, Candidate, Kind, Reader, read_by, same
from plmscan.loading.recognition import is_measurable, recognised
from plmscan.loading.use import Use
from plmscan.loading.weights import FETCH_AGAIN, base_class, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

    from plmscan.evidence import Gap
    from plmscan.loading.adapters import Fitted

__all__ = ["Checkpoint", "read_checkpoint"]

_MOST_MADE_UP = 4
"""Parameters by config.json for each one in the files; tied ones are counted several times."""


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
    prompt: int = 0
    """Virtual tokens that stand before every text; the last rows of the word embeddings."""

    @property
    def measured(self) -> PreTrainedModel:
        """The part of the base model that is measured."""
        return cast("PreTrainedModel", self.base.get_submodule(self.part))


def read_checkpoint(fitted: Fitted, use: Use = Use.HEADS) -> Checkpoint:
    """Build a model from exactly the weights of its files, those of adapters included.

    Raises:
        ArtifactError: the weights are broken or contradict each other.
        UnsupportedModelError: plmscan has no adapter for the model.
    """
    held = fitted.weights
    config, tensors = held.config, held.tensors
    model_class = base_class(config)
    _require_layers(config, tensors)
    _require_size(model_class, config, tensors)
    base, missing = filled(model_class, config, tensors)
    part = measured_part(base)
    built = _settled(_Built(config, tensors, base, part), missing)
    heads, account = _read_heads(built, held.settings.get("architectures"), use)
    _require_finite((base, *heads.values()))
    gaps = tuple(account.gaps())
    has_pooler = built.has_pooler
    return Checkpoint(config, base, part, built.pooler, heads, gaps, has_pooler, fitted.prompt)


def _require_layers(config: PretrainedConfig, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a model without layers, and one with more layers than the files can fill."""
    layers = layers_of(config)
    if layers < 1:
        msg = f"The model has {layers} layers (config.json), so it computes nothing."
        raise ArtifactError(msg, FETCH_AGAIN)
    if layers > len(tensors):
        msg = f"config.json asks for {layers} layers; the files hold {len(tensors)} tensors."
        raise ArtifactError(msg, FETCH_AGAIN)


def _require_size(
    model_class: Any,  # noqa: ANN401 - the library's classes share no typed constructor
    config: PretrainedConfig,
    tensors: Mapping[str, Tensor],
) -> None:
    """Refuse a config whose weights the files cannot fill, before the library makes up the rest.

    What is made up takes memory, so a config of a few bytes could ask for all of it.
    """
    with torch.device("meta"), quiet(), explained("config.json cannot be used", FETCH_AGAIN):
        asked = sum(weight.numel() for weight in model_class(config).parameters())
    held = sum(tensor.numel() for tensor in tensors.values())
    if asked > _MOST_MADE_UP * held:
        msg = f"config.json asks for {asked:,} parameters; the files hold {held:,}."
        raise ArtifactError(msg, FETCH_AGAIN)


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
            raise ArtifactError(msg, FETCH_AGAIN)
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
        raise ArtifactError(msg, FETCH_AGAIN)
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
    model, missing = filled(reader.model_class, built.config, built.tensors)
    if missing:
        msg = f"The files lack weights of {reader.name}, such as {min(missing)}."
        raise ArtifactError(msg, FETCH_AGAIN)
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
            raise ArtifactError(msg, FETCH_AGAIN)


def _require_finite(models: Sequence[PreTrainedModel]) -> None:
    """Refuse weights that are not numbers.

    Raises:
        ArtifactError: a weight is NaN or infinite.
    """
    for model in models:
        for name, weight in model.named_parameters():
            if weight.numel() and not torch.stack(torch.aminmax(weight)).isfinite().all():
                msg = f"{name} holds values that are not finite numbers (NaN or infinite)."
                raise ArtifactError(msg, FETCH_AGAIN)
