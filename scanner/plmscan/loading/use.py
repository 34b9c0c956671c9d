"""What a model is used for, as its files say or the user declares."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from plmscan.errors import ArtifactError

if TYPE_CHECKING:
    from plmscan.source import Artifact

__all__ = ["Use", "UsedAs", "use_of"]

UsedAs = Literal["features"]
"""What a user can declare."""

_MODULES = "modules.json"
_ENCODERS = ("sentence_transformers.", "pylate.")
"""Packages whose ``Transformer`` module hands out features, unless its settings say more."""
_LONGEST = 2**20
"""Characters; a list of modules has some hundred."""


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
    """What the model in ``artifact`` is used for."""
    if used_as == "features":
        return Use.DECLARED
    return Use.FEATURES if _gives_features(artifact) else Use.HEADS


def _gives_features(artifact: Artifact) -> bool:
    """Whether sentence-transformers reads the features of this model, and no head."""
    module = _first_module(artifact)
    kind, folder = module.get("type"), module.get("path")
    if not (isinstance(kind, str) and isinstance(folder, str)):
        return False
    encodes = kind.startswith(_ENCODERS) and kind.endswith(".Transformer")
    place = f"{folder.strip('/')}/" if folder.strip("/.") else ""
    task = _setting(artifact, f"{place}sentence_bert_config.json", "transformer_task")
    model = _setting(artifact, "config_sentence_transformers.json", "model_type")
    return encodes and task in (None, "feature-extraction") and model != "CrossEncoder"


def _first_module(artifact: Artifact) -> dict[str, Any]:
    """The first entry of ``modules.json``; empty where there is none to be understood."""
    if not artifact.has(_MODULES):
        return {}
    try:
        with artifact.path(_MODULES).open(encoding="utf-8") as file:
            modules = json.loads(file.read(_LONGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    first = modules[0] if isinstance(modules, list) and modules else None
    return first if isinstance(first, dict) else {}


def _setting(artifact: Artifact, name: str, key: str) -> object:
    """One setting of a JSON file; None where it is not given, and False in a broken file."""
    if not artifact.has(name):
        return None
    try:
        return artifact.read_json(name).get(key)
    except ArtifactError:
        return False
