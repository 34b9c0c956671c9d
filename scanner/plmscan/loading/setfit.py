"""The head by which SetFit decides: a classifier that reads the embedding of an encoder.

It lies in a pickle, which is read and never loaded; see `plmscan.pickles.objects`.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError, PlmscanError, UnsupportedModelError
from plmscan.evidence import Gap
from plmscan.layout import SETFIT_HEAD
from plmscan.loading.decisions import AnyOf, OneOf
from plmscan.loading.heads import OnEmbedding
from plmscan.loading.linear import linear_of
from plmscan.loading.model import TokenMeter
from plmscan.loading.use import Use
from plmscan.pickles import BoundError, BrokenError, ForeignError, read_objects

if TYPE_CHECKING:
    from plmscan.loading.decisions import Decision
    from plmscan.loading.linear import Linear
    from plmscan.loading.model import LoadedModel
    from plmscan.loading.traits import Location
    from plmscan.source import Artifact

__all__ = ["with_setfit_head"]

_CONFIG = "config_setfit.json"


def with_setfit_head(model: LoadedModel, artifact: Artifact, use: Use) -> LoadedModel:
    """``model`` with the head of SetFit, if ``artifact`` has one, or with the reason why not."""
    if not artifact.has_setfit_head:
        return model
    if use is Use.DECLARED:
        reason = "SetFit decides by this head; --used-as features declares that nobody reads it."
        return _without(model, Gap(SETFIT_HEAD, reason, blocks_pass=False))
    try:
        return _decided(model, artifact)
    except PlmscanError as error:
        reason = (
            f"SetFit decides by this head, and it was not measured. {error.diagnostics()} "
            "Without the file, the encoder can be checked by itself."
        )
        return _without(model, Gap(SETFIT_HEAD, reason))


def _without(model: LoadedModel, gap: Gap) -> LoadedModel:
    """``model`` as it is, with one thing more that is not measured."""
    return replace(model, gaps=(*model.gaps, gap))


def _decided(model: LoadedModel, artifact: Artifact) -> LoadedModel:
    """``model`` with the head.

    Raises:
        ArtifactError: the head or its settings are broken.
        UnsupportedModelError: it is none that is measured.
    """
    if "classifier" in model.heads:
        msg = "The weights hold another classifier, and one of both is measured."
        raise UnsupportedModelError(msg, "Leave out the one that is not used.")
    where = _place(artifact, model)
    settings = artifact.read_json(_CONFIG) if artifact.has(_CONFIG) else {}
    linear = linear_of(_head(artifact), _width(model, where))
    normalized = bool(settings.get("normalize_embeddings"))
    head = OnEmbedding(linear.weight, linear.bias, where, normalized=normalized).to(model.device)
    heads = MappingProxyType({**model.heads, "classifier": head})
    return replace(model, heads=heads, decision=_decision(linear, settings.get("labels")))


def _place(artifact: Artifact, model: LoadedModel) -> Location:
    """Where the embedding of ``artifact`` is read in ``model``.

    Raises:
        UnsupportedModelError: it is not read.
    """
    if model.behind.place is not None:
        return model.behind.place
    names = ", ".join(module.name for module in artifact.layout.modules) or "no modules at all"
    why = " ".join(model.behind.unread.values()) or "A Transformer and what follows it is measured."
    msg = f"It reads what {names} make of a text."
    raise UnsupportedModelError(msg, why)


def _width(model: LoadedModel, where: Location) -> int:
    """Numbers of an embedding."""
    trial = replace(model, meter=TokenMeter())
    features = trial.forward(*trial.batch([trial.wrap(trial.tokenize("a"))])).features
    return features[where].shape[-1]


def _head(artifact: Artifact) -> object:
    """What the file of the head holds.

    Raises:
        ArtifactError: it cannot be read.
        UnsupportedModelError: it needs more than plain data.
    """
    try:
        return read_objects(artifact.path(SETFIT_HEAD))
    except ForeignError as error:
        msg = f"It names {error}, which no linear head of scikit-learn needs."
        raise UnsupportedModelError(
            msg, "Read the code of that before you load the file."
        ) from error
    except (BoundError, BrokenError) as error:
        msg = f"It cannot be read: {error}."
        raise ArtifactError(msg, "Save the model again with SetFit.") from error


def _decision(linear: Linear, named: object) -> Decision:
    """What the numbers decide, with the names that SetFit gives its labels."""
    names = tuple(map(str, named)) if isinstance(named, list) else ()
    if linear.classes is None:
        count = len(linear.weight)
        return AnyOf(names if len(names) == count else tuple(map(str, range(count))))
    return OneOf(tuple(_label(one, names) for one in linear.classes))


def _label(label: str | int, names: tuple[str, ...]) -> str:
    """The name of a class: its own, or what stands at its place."""
    if isinstance(label, int) and 0 <= label < len(names):
        return names[label]
    return str(label)
