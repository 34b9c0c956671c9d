"""Adapters of PEFT, put on the weights of their base before a model is built of them.

The peft library knows what an adapter does: it puts the adapter into the class of the library that
it was trained for, and merges it.  Here it is found out which class that is, and whether all of the
adapter found a place; that the merged model says what the adapter on its base says is tried out.
What cannot be merged, and what asks for code or for other files, is refused.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch

from plmscan.errors import ArtifactError, UnsupportedModelError
from plmscan.headers import TensorInfo, word_embedding
from plmscan.layout import ADAPTER
from plmscan.loading.quiet import explained, quiet
from plmscan.loading.readers import Kind, classes_of
from plmscan.loading.weights import base_class, filled, read_tensors
from plmscan.memory import ran_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

    from plmscan.loading.weights import Weights
    from plmscan.source import Artifact

__all__ = ["Fitted", "put_on"]

_PREFIX = "base_model."
_INNER = "base_model.model."
"""What PEFT puts before the names of the model that it wraps."""
_PROMPT = "prompt_embeddings"
"""The tensor of virtual tokens."""
_MERGED = frozenset({
    "LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "HRA", "LN_TUNING",
    "TRAINABLE_TOKENS",
})  # fmt: skip
"""Kinds whose change of the weights the library can merge."""
_LOW_RANK = frozenset({"LORA", "ADALORA"})
"""Kinds among them with the settings of LoRA."""
_PROMPTS = frozenset({"PROMPT_TUNING", "P_TUNING"})
"""Kinds that put virtual tokens before every text."""
_UNDERSTOOD = frozenset({
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "beta1", "beta2", "bias", "deltaT",
    "ensure_weight_tying", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_r",
    "layers_pattern", "layers_to_transform", "lora_alpha", "lora_bias", "lora_dropout",
    "megatron_core", "modules_to_save", "orth_reg_weight", "peft_type", "peft_version",
    "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules",
    "target_parameters", "target_r", "task_type", "tfinal", "tinit", "total_step",
    "trainable_token_indices", "use_dora", "use_rslora",
})  # fmt: skip
"""Settings of LoRA that are honoured by merging; others have to be empty."""
_DRAWN = ("gaussian", "pissa", "olora", "orthogonal", "eva")
"""Names of ways to begin a LoRA that a file of weights overwrites, or that the library repeats."""
_TASKS = {
    "SEQ_CLS": Kind.CLASSIFIER,
    "TOKEN_CLS": Kind.TOKENS,
    "QUESTION_ANS": Kind.ANSWERS,
    "CAUSAL_LM": Kind.CAUSAL_LM,
    "SEQ_2_SEQ_LM": Kind.SEQ2SEQ,
}
"""The head that an adapter was trained with, by what it calls its task."""
_TRIED = 6
"""Tokens of the text on which the merged model is tried."""
_ROUNDING = 1e-3
"""Share of the size of the output by which merging may change it."""
_MOST_COUNTS = 16
"""Numbers of labels that are tried: a head has few matrices, and an adapter few sizes."""
_SHOWN = 80
_MERGE = "Merge it into its base (merge_and_unload), and check the result."
_WRONG = "Check that the base is the one that it was trained on, and name that with --base."


@dataclass(frozen=True)
class Fitted:
    """The weights of a base with adapters in them."""

    weights: Weights
    """Settings and tensors."""
    prompt: int = 0
    """Virtual tokens that stand before every text; the last rows of the word embeddings."""
    told: tuple[str, ...] = ()
    """What was put on it, a sentence each."""


def put_on(below: Fitted, adapter: Artifact, *, allow_pickle: bool) -> Fitted:
    """``below`` with ``adapter`` on top.

    Raises:
        ArtifactError: it is broken, or made for another base.
        UnsupportedModelError: the peft library is not there, or cannot merge it.
    """
    artifact = adapter.measured
    settings = artifact.read_json(ADAPTER)
    kind = settings.get("peft_type")
    _require_known(kind, settings)
    tensors = read_tensors(artifact, allow_pickle=allow_pickle)
    if kind in _PROMPTS:
        return _with_prompt(below, tensors, adapter.id)
    return _merged(below, settings, tensors, adapter.id)


def _require_known(kind: object, settings: Mapping[str, Any]) -> None:
    """Refuse what is not merged, or would be another thing without its settings.

    Raises:
        UnsupportedModelError: it is.
    """
    if kind not in _MERGED | _PROMPTS:
        what = f"of the kind {str(kind)[:_SHOWN]!r}" if kind else "of no kind (peft_type)"
        msg = f"The adapter is {what}, which plmscan cannot measure."
        raise UnsupportedModelError(msg, _MERGE)
    for key in ("auto_map", "trust_remote_code"):
        if settings.get(key):
            msg = f"{ADAPTER} asks for code ({key}), which plmscan never runs."
            raise UnsupportedModelError(msg, "Take the setting out, if the adapter needs no code.")
    if kind in _LOW_RANK:
        _require_plain(settings)


def _require_plain(settings: Mapping[str, Any]) -> None:
    """Refuse variants of LoRA that depend on the text, on other files or on other packages.

    Raises:
        UnsupportedModelError: it is one.
    """
    begun = settings.get("init_lora_weights", True)
    known = isinstance(begun, bool) or str(begun).startswith(_DRAWN)
    odd = [k for k, v in settings.items() if v and k not in {*_UNDERSTOOD, "init_lora_weights"}]
    if not known:
        odd.append("init_lora_weights")
    if odd:
        msg = f"{ADAPTER} sets {min(odd)[:_SHOWN]}, which plmscan does not follow."
        raise UnsupportedModelError(msg, _MERGE)


def _peft() -> ModuleType:
    """The library.

    Raises:
        UnsupportedModelError: it is not installed.
    """
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        msg = f"Adapters are read by the peft library, which cannot be imported ({error})."
        remedy = "Install it: pip install 'plmscan[adapters]'."
        raise UnsupportedModelError(msg, remedy) from error


def _with_prompt(below: Fitted, tensors: Mapping[str, Tensor], name: str) -> Fitted:
    """``below`` with virtual tokens, which become rows of its word embeddings.

    Raises:
        ArtifactError: they are not those of this base.
    """
    rows = tensors.get(_PROMPT)
    held = dict(below.weights.tensors)
    shapes = {n: TensorInfo("", tuple(t.shape)) for n, t in held.items()}
    table = word_embedding(shapes)
    width = None if table is None else table[1].shape[1]
    if rows is None or rows.dim() != 2 or table is None or rows.shape[1] != width:  # noqa: PLR2004
        msg = f"The virtual tokens of {name} do not have the width of the base's word embeddings."
        raise ArtifactError(msg, _WRONG)
    if below.prompt:
        msg = f"{name} puts virtual tokens before a text that has some already."
        raise UnsupportedModelError(msg, "Check each of the adapters by itself.")
    held[table[0]] = torch.cat([held[table[0]].float(), rows.float()])
    others = {k: v for k, v in tensors.items() if k != _PROMPT}
    settings = {**below.weights.settings, "vocab_size": len(held[table[0]])}
    fitted = replace(
        below,
        weights=replace(below.weights, settings=settings, tensors=held),
        prompt=len(rows),
        told=(*below.told, f"{name}: {len(rows)} virtual tokens before every text."),
    )
    return fitted if not others else _with_head(fitted, others, name)


def _with_head(below: Fitted, tensors: Mapping[str, Tensor], name: str) -> Fitted:
    """``below`` with whole modules that an adapter brings.

    Raises:
        ArtifactError: no class of the library has them all.
    """
    given = {_plain(key): tensor for key, tensor in tensors.items()}
    model_class, settings = _class_for(below.weights, None, given, name)
    weights = replace(
        below.weights,
        settings={**settings, "architectures": [model_class.__name__]},
        tensors={**below.weights.tensors, **given},
    )
    return replace(below, weights=weights)


def _merged(
    below: Fitted, settings: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str
) -> Fitted:
    """``below`` with the change that the adapter makes to its weights.

    Raises:
        ArtifactError: the adapter is broken, or made for another base.
        UnsupportedModelError: the library is missing, or cannot merge it.
    """
    peft = _peft()
    task = _TASKS.get(str(settings.get("task_type")))
    given = {_plain(key): tensor for key, tensor in tensors.items()}
    model_class, asked = _class_for(below.weights, task, given, name)
    weights = replace(below.weights, settings=asked)
    model, made_up = filled(model_class, weights.config, weights.tensors)
    before = dict(model.state_dict())
    with quiet(), explained(f"The adapter {name} cannot be put on its base", _WRONG):
        wrapped = _wrapped(peft, model, settings)
        _require_whole(peft.set_peft_model_state_dict(wrapped, dict(tensors)), name)
        said = _said(wrapped, model)
        merged = wrapped.merge_and_unload(safe_merge=True)
        _require_same(said, _said(merged, merged), name)
    held = {key: tensor.detach() for key, tensor in merged.state_dict().items()}
    own = {key: held[key] for key in held if key not in made_up or key in given}
    what = f"{settings['peft_type']} merged into {model_class.__name__}"
    told = f"{name}: {what}; {_effect(before, held)}."
    return replace(
        below,
        weights=replace(
            weights,
            settings={**asked, "architectures": [model_class.__name__]},
            tensors=own,
        ),
        told=(*below.told, told),
    )


def _effect(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> str:
    """How many matrices were changed, and by how much of their norm."""
    shares = [
        float((after[name] - matrix).norm() / matrix.norm().clamp_min(1e-12))
        for name, matrix in before.items()
        if matrix.dim() == 2 and name in after and not torch.equal(after[name], matrix)  # noqa: PLR2004
    ]
    if not shares:
        return "no matrix changed"
    least, most = (f"{100 * share:.2g} %" for share in (min(shares), max(shares)))
    count = "1 matrix" if len(shares) == 1 else f"{len(shares)} matrices"
    return f"{count} changed by {least} to {most} of the norm"


def _wrapped(peft: ModuleType, model: PreTrainedModel, settings: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the library's
    """``model`` with an adapter of these settings in it, whose numbers are still drawn."""
    kept = {k: v for k, v in settings.items() if k not in ("auto_mapping", "runtime_config")}
    config = peft.PeftConfig.from_peft_type(**kept | {"inference_mode": True})
    kinds = peft.MODEL_TYPE_TO_PEFT_MODEL_MAPPING
    made = kinds.get(config.task_type, peft.PeftModel)
    with torch.random.fork_rng(devices=[]):
        wrapped = made(model, config, autocast_adapter_dtype=True)
    wrapped.train(mode=False)
    return wrapped


def _require_whole(loaded: Any, name: str) -> None:  # noqa: ANN401 - the library's
    """Refuse an adapter of which something found no place, or that lacks something.

    Raises:
        ArtifactError: it is one.
    """
    lost = [key for key in loaded.missing_keys if ".base_layer." not in key and _is_own(key)]
    stray = [*loaded.unexpected_keys]
    if stray or lost:
        what = f"have no place for {stray[0]}" if stray else f"lack {lost[0]}"
        msg = f"The weights of {name} do not fit its base: they {what[:_SHOWN]}."
        raise ArtifactError(msg, _WRONG)


def _is_own(key: str) -> bool:
    """Whether a weight of a wrapped model belongs to the adapter, which PEFT calls default."""
    return ".default" in key and ".ranknum." not in key  # AdaLoRA saves all but this one


def _said(model: Any, plain: PreTrainedModel) -> Tensor:  # noqa: ANN401 - the library's
    """What ``model`` says of a few tokens, (1, n, ...)."""
    rows = len(cast("Tensor", plain.get_input_embeddings().weight))
    ids = torch.linspace(0, rows - 1, _TRIED).long().unsqueeze(0)
    more = {"decoder_input_ids": ids} if plain.config.is_encoder_decoder else {}
    with torch.no_grad():
        found: Tensor = model(input_ids=ids, **more)[0]
    return found


def _require_same(before: Tensor, after: Tensor, name: str) -> None:
    """Refuse an adapter whose merged model says something else than the adapter on its base.

    Raises:
        UnsupportedModelError: it does.
    """
    off = float((before - after).abs().max())
    if not math.isfinite(off) or off > _ROUNDING * float(before.square().mean().sqrt()):
        msg = f"Merged into its base, {name} says something else than on top of it."
        raise UnsupportedModelError(msg, _MERGE)


def _class_for(
    weights: Weights, task: Kind | None, given: Mapping[str, Tensor], name: str
) -> tuple[Any, dict[str, Any]]:
    """The class of the library that an adapter was trained in, and the settings that it asks for.

    Tried are the class of its task, the base model, and every other that the type has.

    Raises:
        ArtifactError: none has a place for all of the adapter.
    """
    config = weights.config
    every = list(classes_of(config))
    first = [model_class for kind, model_class in every if kind is task]
    order = dict.fromkeys([*first, base_class(config), *(c for _, c in every)])
    counts = list(dict.fromkeys([config.num_labels or 0, *_rows(given)]))[:_MOST_COUNTS]
    for model_class in order:
        for labels in counts:
            settings = _with_labels(weights.settings, config, labels)
            if _has_places(model_class, replace(weights, settings=settings).config, given):
                return model_class, settings
    msg = f"{name} changes {min(given, default='nothing')[:_SHOWN]}, and its base has no such part."
    raise ArtifactError(msg, _WRONG)


def _with_labels(
    settings: Mapping[str, Any], config: PretrainedConfig, labels: int
) -> dict[str, Any]:
    """``settings`` with so many labels; the names stay where the number does."""
    if labels == config.num_labels:
        return dict(settings)
    names = {str(label): f"LABEL_{label}" for label in range(labels)}
    numbers = {name: int(label) for label, name in names.items()}
    rest = {key: value for key, value in settings.items() if key != "num_labels"}
    return {**rest, "id2label": names, "label2id": numbers}


def _rows(given: Mapping[str, Tensor]) -> list[int]:
    """How many labels the whole matrices among ``given`` could be for."""
    return [len(tensor) for tensor in given.values() if tensor.dim() == 2]  # noqa: PLR2004


def _has_places(
    model_class: Any,  # noqa: ANN401 - the library's classes share no typed constructor
    config: PretrainedConfig,
    given: Mapping[str, Tensor],
) -> bool:
    """Whether a ``model_class`` has a module for each of ``given``, of the same shape if whole."""
    try:
        with torch.device("meta"), quiet():
            model = model_class(config)
    except Exception as error:
        if ran_out(error):
            raise
        return False
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    modules = {key for key, _ in model.named_modules() if key}
    for key, tensor in given.items():
        if key in shapes:
            if shapes[key] != tensor.shape:
                return False
        elif not any(part in modules for part in _beginnings(key)):
            return False
    return True


def _beginnings(key: str) -> Iterator[str]:
    """What a name begins with, the longest first, down to the module inside the first."""
    parts = key.split(".")
    yield from (".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))


def _plain(key: str) -> str:
    """A name in an adapter's file as the model has it."""
    return key.removeprefix(_INNER if key.startswith(_INNER) else _PREFIX)
