"""Which classes of the library read these weight files, and which tensor becomes which weight.

A class is built without memory, and its weights are matched with the tensors as the library itself
matches them: by its own renames, prefixes and ties.  So a head is known by what the files hold, and
not by the name that a config gives it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.initialization import no_init_weights
from transformers.models.auto import modeling_auto

from plmscan.loading.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = [
    "WRITES",
    "Candidate",
    "Kind",
    "Reader",
    "candidates",
    "classes_of",
    "read_by",
    "same",
]


class Kind(StrEnum):
    """What a head does."""

    SEQ2SEQ = "sequence-to-sequence"
    """Writes a text by a decoder that reads an encoder."""
    CLASSIFIER = "classifier"
    """Gives a whole text a label."""
    MASKED_LM = "masked-lm"
    """Says what a mask token hides."""
    TOKENS = "token-classification"
    """Gives every token a label."""
    ANSWERS = "question-answering"
    """Says where in a text the answer is."""
    CHOICES = "multiple-choice"
    """Takes one of several texts."""
    NEXT_SENTENCE = "next-sentence"
    """Says whether one sentence follows another."""
    CAUSAL_LM = "causal-lm"
    """Writes a text token by token."""
    PRETRAINING = "pre-training"
    """What the authors of an architecture trained it with, and few ever load."""


WRITES = frozenset({Kind.CAUSAL_LM, Kind.SEQ2SEQ})
"""Heads that write."""

_CLASSES: Mapping[Kind, object] = {
    Kind.SEQ2SEQ: modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    Kind.CLASSIFIER: modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    Kind.MASKED_LM: modeling_auto.MODEL_FOR_MASKED_LM_MAPPING,
    Kind.TOKENS: modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    Kind.ANSWERS: modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    Kind.CHOICES: modeling_auto.MODEL_FOR_MULTIPLE_CHOICE_MAPPING,
    Kind.NEXT_SENTENCE: modeling_auto.MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING,
    Kind.CAUSAL_LM: modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING,
    Kind.PRETRAINING: modeling_auto.MODEL_FOR_PRETRAINING_MAPPING,
}
"""What each ``AutoModelFor...`` loads, by the class of the config; a class counts where it is named
first."""


@dataclass(frozen=True)
class Reader:
    """How one class of the library reads the files."""

    model_class: Any
    """The class; the library's classes share no typed constructor."""
    weights: Mapping[str, str]
    """Tensor of the files -> the weight that it becomes, whole or beside others."""
    slots: Mapping[str, str]
    """Tensor of the files -> its place: the weight, or a name of its own within one that the
    library makes of several, such as the weights of all experts."""
    missing: frozenset[str]
    """Weights that the files lack, so that the library would make them up."""
    misfits: frozenset[str]
    """Tensors of another shape than the config asks for."""
    own: frozenset[str]
    """Tensors that become weights outside of the base model."""
    copies: frozenset[str]
    """Tensors that repeat the word embeddings, to which they are tied."""
    ignored: frozenset[str]
    """Patterns of names that the library itself passes over in silence."""

    @property
    def name(self) -> str:
        """The name of the class."""
        return str(self.model_class.__name__)

    @property
    def is_filled(self) -> bool:
        """Whether the files hold all of its weights, in the right shapes."""
        return not self.missing and not self.misfits


@dataclass(frozen=True)
class Candidate:
    """A class with a head that the library would load for this config."""

    kind: Kind
    """What its head does."""
    reader: Reader
    """How it reads the files."""


def candidates(config: PretrainedConfig, tensors: Mapping[str, Tensor]) -> tuple[Candidate, ...]:
    """Every class with a head that an ``AutoModelFor...`` would take for ``config``."""
    found: dict[Any, Candidate] = {}
    for kind, model_class in classes_of(config):
        reader = None if model_class in found else read_by(model_class, config, tensors)
        if reader is not None:
            found[model_class] = Candidate(kind, reader)
    return tuple(found.values())


def classes_of(config: PretrainedConfig) -> Iterator[tuple[Kind, Any]]:
    """Every class with a head that the library has for ``config``, and what its head does."""
    for kind, classes in _CLASSES.items():
        yield from ((kind, model_class) for model_class in _classes_for(config, classes))


def _classes_for(config: PretrainedConfig, classes: object) -> tuple[Any, ...]:
    """What the mapping ``classes`` has for ``config``: none, one or several."""
    found = cast("Mapping[type, Any]", classes).get(type(config), ())
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def read_by(
    model_class: Any,  # noqa: ANN401 - the library's classes share no typed constructor
    config: PretrainedConfig,
    tensors: Mapping[str, Tensor],
) -> Reader | None:
    """How ``model_class`` reads ``tensors``; None if it cannot be built, and so not loaded."""
    try:
        with torch.device("meta"), no_init_weights(), quiet():
            # Some classes change the config that they get: BART's decoder says it is one.
            model: PreTrainedModel = model_class(copy.deepcopy(config))
    except Exception:  # noqa: BLE001 - constructors raise anything; what they leave unread is told
        return None
    found = tuple(_matched(model, tensors))
    weights = {one.name: one.weight for one in found}
    whole = {one.name: one.weight for one in found if one.weight == one.slot}
    held = frozenset(weights.values()).union(*(one.beside for one in found))
    shapes = {name: weight.shape for name, weight in model.state_dict().items()}
    copies = frozenset(_copies(model, weights, tensors))
    prefix = f"{model.base_model_prefix}."
    return Reader(
        model_class,
        weights,
        {one.name: one.slot for one in found},
        frozenset(_missing(model, held)),
        frozenset(name for name, to in whole.items() if tensors[name].shape != shapes[to]),
        frozenset(n for n, to in weights.items() if not to.startswith(prefix)) - copies,
        copies,
        frozenset(model._keys_to_ignore_on_load_unexpected or ()),  # noqa: SLF001 - only there
    )


@dataclass(frozen=True)
class _Match:
    """What becomes of one tensor."""

    name: str
    """Its name in the files."""
    weight: str
    """The weight that it becomes, or the first one."""
    slot: str
    """Its place: the weight, or a name of its own where it is a part of one."""
    beside: tuple[str, ...] = ()
    """Further weights that are cut from it, such as keys and values."""


def _matched(model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> Iterator[_Match]:
    """What becomes of ``tensors`` in ``model``, as the library matches them."""
    changes = get_model_conversion_mapping(model)
    renamings = [change for change in changes if isinstance(change, WeightRenaming)]
    converters = [change for change in changes if isinstance(change, WeightConverter)]
    prefix, expected = model.base_model_prefix, model.state_dict()
    for name in tensors:
        renamed, merged = rename_source_key(name, renamings, converters, prefix, expected)
        if renamed not in expected and name in expected:
            renamed, merged = rename_source_key(name, [], [], prefix, expected)
        if renamed in expected:
            alone, _ = rename_source_key(name, renamings, [])
            slot = renamed if merged is None else alone.removeprefix(f"{prefix}.")
            yield _Match(name, renamed, slot, tuple(_beside(renamed, merged, converters)))


def _beside(
    weight: str, pattern: str | None, converters: Sequence[WeightConverter]
) -> Iterator[str]:
    """Weights that the converter of ``pattern`` cuts from the same tensor as ``weight``."""
    for converter in converters:
        if pattern in converter.source_patterns:
            first, *others = converter.target_patterns
            yield from (weight.replace(first, other) for other in others)


def _missing(model: PreTrainedModel, held: Collection[str]) -> Iterator[str]:
    """Weights that no tensor becomes, nor one that they are tied to."""
    ties = _ties(model)
    there = {ties.get(to, to) for to in held}
    for name, _ in model.named_parameters(remove_duplicate=False):
        if ties.get(name, name) not in there:
            yield name


def _copies(
    model: PreTrainedModel, weights: Mapping[str, str], tensors: Mapping[str, Tensor]
) -> Iterator[str]:
    """Tensors beside the base model that hold what a tensor of it holds, and are tied to it."""
    ties, prefix = _ties(model), f"{model.base_model_prefix}."
    held = {to: tensors[name] for name, to in weights.items()}
    for name, to in weights.items():
        source = ties.get(to, to)
        tied = source.startswith(prefix) and not to.startswith(prefix) and source in held
        if tied and same(tensors[name], held[source]):
            yield name


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, in the same type."""
    return one is other or (one.dtype == other.dtype and torch.equal(one, other))


def _ties(model: PreTrainedModel) -> dict[str, str]:
    """Weight -> the one that stands for it, by this config."""
    return dict(model.get_expanded_tied_weights_keys(all_submodels=True))
