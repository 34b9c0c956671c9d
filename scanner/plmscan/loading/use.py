"""What a model is used for, as its files say or the user declares."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

from plmscan.errors import ArtifactError

if TYPE_CHECKING:
    from plmscan.source import Artifact

__all__ = ["FEATURES", "WORDS", "Use", "UsedAs", "task_of", "use_of"]

UsedAs = Literal["features"]
"""What a user can declare."""

FEATURES, WORDS = "feature-extraction", "fill-mask"
"""Tasks of a Transformer that is used for its hidden states, and for its scores of words."""
_USUAL = {"Transformer": FEATURES, "MLMTransformer": WORDS}
"""Modules that are a Transformer, and their task where nothing else is said."""
_KIND = "config_sentence_transformers.json"
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
    return Use.FEATURES if task_of(artifact) == FEATURES else Use.HEADS


def task_of(artifact: Artifact) -> str:
    """What sentence-transformers loads the Transformer for; empty where it makes no vectors."""
    layout = artifact.layout
    first = next((m for m in layout.modules if m.folder == layout.home), None)
    usual = _USUAL.get(first.name) if first and first.type.startswith(_PACKAGES) else None
    if usual is None or _setting(artifact, _KIND, "model_type") not in _ENCODERS:
        return ""
    name = layout.at_home("sentence_bert_config.json")
    task = _setting(artifact, name, "transformer_task")
    return usual if task is None else str(task)


def _setting(artifact: Artifact, name: str, key: str) -> object:
    """One setting of a JSON file; None where it is not given, and empty in a broken file."""
    if not artifact.has(name):
        return None
    try:
        return artifact.read_json(name).get(key)
    except ArtifactError:
        return ""
