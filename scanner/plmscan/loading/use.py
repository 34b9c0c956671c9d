"""What a model is used for, as its files say or the user declares."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

from plmscan.errors import ArtifactError

if TYPE_CHECKING:
    from plmscan.source import Artifact

__all__ = ["Use", "UsedAs", "use_of"]

UsedAs = Literal["features"]
"""What a user can declare."""

_PACKAGES = ("sentence_transformers.", "pylate.")
"""Packages whose ``Transformer`` module hands out features, unless its settings say more."""
_ENCODERS = (None, "SentenceTransformer", "SparseEncoder", "MultiVectorEncoder", "ColBERT")
"""Kinds of models that read features; older files do not name theirs."""


class Use(Enum):
    """Who reads what of a model."""

    HEADS = "heads"
    """Whatever the files fill: anybody may load it."""
    FEATURES = "features"
    """Hidden states and what is pooled of them: ``modules.json`` says so."""
    DECLARED = "declared"
    """The same, because the user says so."""

    @property
    def spares_heads(self) -> bool:
        """Whether nobody reads a head."""
        return self is not Use.HEADS


def use_of(artifact: Artifact, used_as: UsedAs | None) -> Use:
    """What the model in ``artifact`` is used for; the whole model, not the part that is loaded."""
    if used_as == "features":
        return Use.DECLARED
    return Use.FEATURES if _gives_features(artifact) else Use.HEADS


def _gives_features(artifact: Artifact) -> bool:
    """Whether sentence-transformers reads the features of this model, and no head."""
    layout = artifact.layout
    first = next((m for m in layout.modules if m.folder == layout.home), None)
    if first is None or first.name != "Transformer" or not first.type.startswith(_PACKAGES):
        return False
    task = _setting(artifact, layout.at_home("sentence_bert_config.json"), "transformer_task")
    kind = _setting(artifact, "config_sentence_transformers.json", "model_type")
    return task in (None, "feature-extraction") and kind in _ENCODERS


def _setting(artifact: Artifact, name: str, key: str) -> object:
    """One setting of a JSON file; None where it is not given, and empty in a broken file."""
    if not artifact.has(name):
        return None
    try:
        return artifact.read_json(name).get(key)
    except ArtifactError:
        return ""
