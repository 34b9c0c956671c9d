"""Layers that sentence-transformers puts behind a Transformer, with the weights of their files."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file
from torch import nn

from plmscan.errors import ArtifactError, UnsupportedModelError
from plmscan.layout import MODULES, inside
from plmscan.library_names import is_activation
from plmscan.loading.heads import masked_lm_logits
from plmscan.loading.quiet import explained
from plmscan.source import require_contents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from transformers import PreTrainedModel

    from plmscan.layout import Module
    from plmscan.source import Artifact

__all__ = [
    "ALONE",
    "POOLED",
    "SAVE_AGAIN",
    "STATES",
    "Sketch",
    "WordScores",
    "read_layer",
    "settings_of",
]

POOLED, STATES = "sentence_embedding", "token_embeddings"
"""What sentence-transformers calls the vector of a text, and the vectors of its tokens."""
_SAFE, _PICKLE = "model.safetensors", "pytorch_model.bin"
SAVE_AGAIN = "Save the model again with sentence-transformers."
ALONE = f"Without its entry in {MODULES}, the rest can be checked by itself."
_TANH = "torch.nn.modules.activation.Tanh"
"""What a Dense ends with where its settings name nothing."""
_WIDEST = 100_000
"""Numbers in a vector; no model has a tenth of it."""
_COMPUTES: Mapping[str, str] = MappingProxyType(
    {
        "BoW": "It counts the words of a text",
        "CNN": "It passes the tokens through layers of its own",
        "LSTM": "It passes the tokens through layers of its own",
        "LogitScore": "It scores a text by what the language model would write",
        "SparseAutoEncoder": "It passes each vector through layers of its own",
        "SparseStaticEmbedding": "It gives each token a weight of its own",
        "StaticEmbedding": "It gives each token a vector of its own",
        "WeightedLayerPooling": "It mixes the layers of the model with weights of its own",
        "WordEmbeddings": "It gives each word a vector of its own",
        "WordWeights": "It weighs the words of a text",
    }
)
"""What modules compute that are not read."""


class _Dense(nn.Module):
    """A linear layer and an activation, with or without what came in beside them."""

    def __init__(self, shape: tuple[int, int], settings: Mapping[str, Any]) -> None:
        """Without weights yet."""
        super().__init__()
        self.linear = nn.Linear(*shape, bias=settings.get("bias") is not False)
        self.activation = _activation(settings.get("activation_function", _TANH))
        self.adds = bool(settings.get("use_residual"))
        if self.adds and shape[0] != shape[1]:
            self.residual = nn.Linear(*shape, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., h) -> (..., d)."""
        found = cast("Tensor", self.activation(self.linear(vectors)))
        if not self.adds:
            return found
        beside = self.residual(vectors) if hasattr(self, "residual") else vectors
        return found + cast("Tensor", beside)


class _LayerNorm(nn.Module):
    """A norm with weights of its own."""

    def __init__(self, width: int) -> None:
        """Without weights yet."""
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., d)."""
        return cast("Tensor", self.norm(vectors))


class _Normalize(nn.Module):
    """Vectors of length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., d)."""
        return nn.functional.normalize(vectors, dim=-1)


class WordScores(nn.Module):
    """How much each state speaks for each word of the vocabulary, as SPLADE weighs it."""

    def __init__(self, head: PreTrainedModel, logs: int) -> None:
        """Remember ``head`` without owning its weights; ``logs`` logarithms are taken."""
        super().__init__()
        self._head, self._logs = (head,), logs

    def forward(self, states: Tensor) -> Tensor:
        """(b, n, h) -> (b, n, v)."""
        scores = masked_lm_logits(self._head[0], states).float().relu()
        for _ in range(self._logs):
            scores = scores.log1p()
        return scores


class Sketch(nn.Module):
    """Vectors of fewer numbers that lie as far from each other: each goes to one, with a sign.

    A count sketch (Charikar et al. 2002) keeps squared distances in the mean, and needs no matrix.
    """

    def __init__(self, width: int, seed: int = 0) -> None:
        """Of so many numbers."""
        super().__init__()
        self._width, self._seed = width, seed

    def forward(self, vectors: Tensor) -> Tensor:
        """(b, v) -> (b, width)."""
        dice = torch.Generator().manual_seed(self._seed)
        size = vectors.shape[1]
        places = torch.randint(self._width, (size,), generator=dice).to(vectors.device)
        signs = 1 - 2 * torch.randint(2, (size,), generator=dice).to(vectors.device)
        return vectors.new_zeros(len(vectors), self._width).index_add(1, places, vectors * signs)


def read_layer(artifact: Artifact, module: Module, *, allow_pickle: bool) -> nn.Module:
    """What ``module`` of the whole model ``artifact`` computes: (..., h) -> (..., d).

    Raises:
        ArtifactError: its files are missing or broken.
        UnsupportedModelError: plmscan does not know what it computes.
    """
    match module.name:
        case "Dropout" | "MultiVectorMask":
            return nn.Identity()
        case "Normalize":
            return _Normalize()
        case "Dense":
            settings = settings_of(artifact, module)
            inner, outer = (_size(module, settings, f"{end}_features") for end in ("in", "out"))
            dense = _Dense((inner, outer), settings)
            return _filled(artifact, module, dense, allow_pickle=allow_pickle)
        case "LayerNorm":
            layer = _LayerNorm(_size(module, settings_of(artifact, module), "dimension"))
            return _filled(artifact, module, layer, allow_pickle=allow_pickle)
        case _:
            what = _COMPUTES.get(module.name, "Nobody here knows what it computes")
            msg = f"{what}, and plmscan does not read that."
            raise UnsupportedModelError(msg, ALONE)


def settings_of(artifact: Artifact, module: Module) -> dict[str, Any]:
    """The settings of ``module``; empty where it has no file of them.

    Raises:
        ArtifactError: they are broken.
    """
    name = inside(module.folder, "config.json")
    return artifact.read_json(name) if artifact.has(name) else {}


def _size(module: Module, settings: Mapping[str, Any], key: str) -> int:
    """How many numbers a vector has, by one of the settings.

    Raises:
        ArtifactError: they do not say.
    """
    size = settings.get(key)
    if isinstance(size, int) and 0 < size <= _WIDEST:
        return size
    msg = f"{inside(module.folder, 'config.json')} names no {key}."
    raise ArtifactError(msg, SAVE_AGAIN)


def _activation(name: object) -> nn.Module:
    """The activation function ``name``, which is imported from torch alone.

    Raises:
        UnsupportedModelError: it is none of torch's.
    """
    if not isinstance(name, str) or not name.startswith("torch.nn.") or not is_activation(name):
        msg = f"It ends with {str(name)[:80]!r}, which is no activation function of torch."
        raise UnsupportedModelError(msg, ALONE)
    made: nn.Module = getattr(nn, name.rpartition(".")[2])()
    return made


def _filled(
    artifact: Artifact, module: Module, layer: nn.Module, *, allow_pickle: bool
) -> nn.Module:
    """``layer`` with the weights of the folder of ``module``, all of them and no others.

    Raises:
        ArtifactError: they are missing, broken, or a pickle that is not allowed.
    """
    name = _weight_file(artifact, module, allow_pickle=allow_pickle)
    with explained(f"The weights in {name} cannot be used", SAVE_AGAIN):
        held = _weights(artifact, name)
        asked = {key: weight.shape for key, weight in layer.state_dict().items()}
        odd = sorted(asked.items() ^ {key: weight.shape for key, weight in held.items()}.items())
        if odd:
            msg = f"{odd[0][0][:80]} is missing, too many, or of another shape in {name}."
            raise ArtifactError(msg, SAVE_AGAIN)
        layer.load_state_dict(held)
    if not all(weight.isfinite().all() for weight in layer.parameters()):
        msg = f"{name} holds values that are not finite numbers (NaN or infinite)."
        raise ArtifactError(msg, SAVE_AGAIN)
    return layer.float()


def _weight_file(artifact: Artifact, module: Module, *, allow_pickle: bool) -> str:
    """The file that sentence-transformers takes the weights of ``module`` from.

    Raises:
        ArtifactError: it is missing, empty, or a pickle that is not allowed.
    """
    safe, pickle = (inside(module.folder, name) for name in (_SAFE, _PICKLE))
    if not artifact.has(safe) and artifact.has(pickle) and not allow_pickle:
        msg = f"Its weights are pickled ({pickle})."
        raise ArtifactError(msg, "Ask for a safetensors file, or use --allow-pickle.")
    name = safe if artifact.has(safe) else pickle
    if not artifact.has(name):
        msg = f"{safe} is missing."
        raise ArtifactError(msg, SAVE_AGAIN)
    require_contents((file for file in artifact.files if file.path == name), (name,))
    return name


def _weights(artifact: Artifact, name: str) -> dict[str, Tensor]:
    """The tensors of one file; a pickle of nothing else."""
    path = artifact.path(name)
    if name.endswith(_SAFE):
        return load_file(path)
    return dict(torch.load(path, map_location="cpu", weights_only=True))
