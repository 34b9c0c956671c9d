"""Weights as the files of a model hold them, one at a time, without building the model."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from plmscan.errors import ArtifactError
from plmscan.headers import TensorInfo, read_header, word_embedding
from plmscan.loading.quiet import explained, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from plmscan.source import Artifact

__all__ = ["StoredWeights", "read_stored"]

_FETCH_AGAIN = "Fetch or save the model again."
_OLD_NAMES = {"gamma": "weight", "beta": "bias"}
"""What a LayerNorm's weights are called in files that were made of the first BERT."""


@dataclass(frozen=True)
class _Place:
    """Where a tensor is."""

    path: Path
    """Its file."""
    name: str
    """Its name there."""
    shape: tuple[int, ...]
    """Size of each dimension."""
    held: Tensor | None = None
    """The tensor itself, where its file cannot be read in parts."""


@dataclass(frozen=True)
class StoredWeights:
    """The tensors of the weight files, by the names that the base model gives them."""

    places: Mapping[str, _Place]
    """Where each is."""

    def __contains__(self, name: str) -> bool:
        """Whether the files hold ``name``."""
        return name in self.places

    def shape(self, name: str) -> tuple[int, ...]:
        """The size of each dimension of ``name``."""
        return self.places[name].shape

    def read(self, name: str) -> Tensor:
        """The tensor ``name``.

        Raises:
            ArtifactError: its file cannot be read.
        """
        place = self.places[name]
        if place.held is not None:
            return place.held
        with explained(f"The weight file {place.path.name} cannot be read", _FETCH_AGAIN):
            with safe_open(place.path, framework="pt") as file:
                tensor: Tensor = file.get_tensor(place.name)
            return tensor

    def table(self, name: str) -> str:
        """Name of the word embeddings: ``name`` where that is there, else what looks like them."""
        if name in self:
            return name
        shapes = {name: TensorInfo("", place.shape) for name, place in self.places.items()}
        found = word_embedding(shapes)
        return name if found is None else found[0]


def read_stored(artifact: Artifact, prefixes: Sequence[str]) -> StoredWeights:
    """The tensors of the weight files of ``artifact``.

    Args:
        artifact: a model; its pickles are opened only if `resolve` was told that they may be.
        prefixes: parts that models with a head put before the names of the base model, in order.

    Raises:
        ArtifactError: there are no weights, a file is broken, or what it holds is shrunken.
    """
    if artifact.is_shrunken:
        msg = f"The weights of {artifact.id} are shrunken, which changes every one of them."
        raise ArtifactError(msg, "Name the model that it was made from, in 16 or 32 bits.")
    if not artifact.weights:
        problem = artifact.weights_problem or "There are no weight files."
        raise ArtifactError(problem, "Without weights there is nothing to compare with.")
    places: dict[str, _Place] = {}
    for file in artifact.weights:
        path = artifact.path(file)
        found = _headed(path) if file.endswith(".safetensors") else _unpickled(path)
        places |= {_base_name(place.name, prefixes): place for place in found}
    return StoredWeights(MappingProxyType(places))


def _headed(path: Path) -> list[_Place]:
    """The tensors that the header of a safetensors file names."""
    return [_Place(path, name, info.shape) for name, info in read_header(path).tensors.items()]


def _unpickled(path: Path) -> list[_Place]:
    """The tensors of a pickle, weights only."""
    with quiet(), explained(f"The weight file {path.name} cannot be read", _FETCH_AGAIN):
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        held = {n: t for n, t in loaded.items() if isinstance(t, torch.Tensor)}
    return [_Place(path, name, tuple(tensor.shape), tensor) for name, tensor in held.items()]


def _base_name(name: str, prefixes: Sequence[str]) -> str:
    """``name`` as the base model has it."""
    for prefix in prefixes:
        name = name.removeprefix(f"{prefix}.") if prefix else name
    stem, dot, end = name.rpartition(".")
    return f"{stem}{dot}{_OLD_NAMES.get(end, end)}"
