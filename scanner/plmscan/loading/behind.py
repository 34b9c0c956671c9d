"""What ``modules.json`` puts behind a Transformer, where it is known, and why not elsewhere."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from plmscan.errors import ArtifactError, PlmscanError
from plmscan.layout import ROUTERS, inside
from plmscan.loading.embedding import Behind, Embedding
from plmscan.loading.layers import (
    POOLED,
    SAVE_AGAIN,
    STATES,
    Sketch,
    WordScores,
    read_layer,
    settings_of,
)
from plmscan.loading.traits import Location
from plmscan.loading.use import WORDS, task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transformers import PreTrainedModel

    from plmscan.layout import Module
    from plmscan.loading.model import LoadedModel
    from plmscan.source import Artifact

__all__ = ["default_prompt", "pooling_modes", "read_behind"]

_PROMPTS = "config_sentence_transformers.json"
_SWITCHES: Mapping[str, str] = MappingProxyType(
    {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens": "weightedmean",
        "pooling_mode_lasttoken": "lasttoken",
    }
)
"""Old switches of a pooling, and the mode that each turns on, in the order of their vectors."""
_LOGARITHMS: Mapping[str, int] = MappingProxyType({"relu": 1, "log1p_relu": 2})
"""Activations of SPLADE, and how many logarithms each takes."""


def read_behind(artifact: Artifact, model: LoadedModel, *, allow_pickle: bool) -> Behind:
    """What ``modules.json`` of the whole model ``artifact`` puts behind the Transformer ``model``.

    ``allow_pickle`` says whether weights may be pickles.
    """
    task, modules = task_of(artifact), artifact.layout.modules
    if not task or len(modules) < 2 or any(module.name in ROUTERS for module in modules):  # noqa: PLR2004
        return Behind()
    if (task == WORDS) != (modules[1].name == _SPLADE):
        return Behind()
    found, pooled = Embedding(), False
    unread: dict[Module, str] = {}
    for module in modules[1:]:
        try:
            if module.name in _POOLINGS and not pooled:
                found, pooled = _POOLINGS[module.name](artifact, module, model, found), True
            else:
                place = _place(artifact, module, found, pooled=pooled)
                place.append(read_layer(artifact, module, allow_pickle=allow_pickle))
        except PlmscanError as error:
            unread[module] = error.diagnostics()
    first_is_cls = not model.traits.cls_last
    read = [where for where in model.locations if where is not Location.CLS or first_is_cls]
    if unread:
        return Behind(unread=unread)
    where = found.place(read)
    return Behind(found if where is Location.EMBEDDING else None, place=where)


def _place(artifact: Artifact, module: Module, found: Embedding, *, pooled: bool) -> nn.Sequential:
    """Where the layer ``module`` belongs.

    Raises:
        ArtifactError: it takes something else than what is there.
    """
    usual = POOLED if pooled else STATES
    settings = settings_of(artifact, module)
    taken = settings.get("module_input_name", usual)
    if taken != usual or settings.get("module_output_name") not in (None, taken):
        msg = f"{inside(module.folder, 'config.json')} passes on other vectors than {usual}."
        raise ArtifactError(msg, SAVE_AGAIN)
    return found.after if pooled else found.before


def _pooling(
    artifact: Artifact, module: Module, model: LoadedModel, before: Embedding
) -> Embedding:
    """``before`` with the pooling of ``module``.

    Raises:
        ArtifactError: its settings are missing, or name no way to pool.
    """
    name = inside(module.folder, "config.json")
    if not artifact.has(name):
        msg = f"{name} is missing, so it is unknown what it reads."
        raise ArtifactError(msg, SAVE_AGAIN)
    settings = settings_of(artifact, module)
    modes = pooling_modes(settings)
    unknown = [mode for mode in modes if mode not in _SWITCHES.values()]
    if unknown:
        said = repr(unknown[0][:40]) if unknown[0] else "something that is no word"
        msg = f"It pools by {said}, which sentence-transformers does not do."
        raise ArtifactError(msg, SAVE_AGAIN)
    leaves_out = not settings.get("include_prompt", True) and model.prompt_ids
    return replace(before, modes=modes, skipped=len(model.opening) if leaves_out else 0)


def _sparse(
    artifact: Artifact, module: Module, model: LoadedModel, _before: Embedding
) -> Embedding:
    """How SPLADE weighs the words of the vocabulary, folded to as few numbers as a state has.

    Raises:
        ArtifactError: there is no head that scores words, or the settings are not known.
    """
    settings, head = settings_of(artifact, module), model.heads.get("masked-lm")
    mode = settings.get("pooling_strategy", "max")
    logarithms = _LOGARITHMS.get(str(settings.get("activation_function", "relu")))
    if head is None or logarithms is None or mode not in ("max", "sum"):
        msg = "It needs a masked language model's scores, and a way to weigh them that is known."
        raise ArtifactError(msg, SAVE_AGAIN)
    return Embedding(
        modes=(mode,),
        before=nn.Sequential(WordScores(cast("PreTrainedModel", head), logarithms)),
        after=nn.Sequential(Sketch(model.hidden_size)),
        widest=model.vocabulary_size,
    )


_SPLADE = "SpladePooling"
_POOLINGS: Mapping[str, Callable[[Artifact, Module, LoadedModel, Embedding], Embedding]] = (
    MappingProxyType({"Pooling": _pooling, _SPLADE: _sparse})
)
"""Modules that make one vector of those of all tokens."""


def pooling_modes(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The modes that a configuration turns on; empty words for what is none."""
    mode = settings.get("pooling_mode")
    if mode is None:
        on = tuple(mode for switch, mode in _SWITCHES.items() if settings.get(switch))
        return on or ("mean",)
    listed = mode if isinstance(mode, list) else [mode]
    return tuple(one if isinstance(one, str) else "" for one in listed)


def default_prompt(artifact: Artifact) -> str:
    """What sentence-transformers puts before every text of ``artifact``; empty for nothing.

    Raises:
        ArtifactError: the settings are broken, or name a prompt that they lack.
    """
    if not artifact.layout.modules or not artifact.has(_PROMPTS):
        return ""
    settings = artifact.read_json(_PROMPTS)
    name, prompts = settings.get("default_prompt_name"), settings.get("prompts")
    if name is None:
        return ""
    prompt = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    if not isinstance(prompt, str):
        msg = f"{_PROMPTS} has no prompt of the name that it gives as the usual one."
        raise ArtifactError(msg, SAVE_AGAIN)
    return prompt
