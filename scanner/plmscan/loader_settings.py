"""Settings by which the files of a model lead its libraries to other files, or to other sums.

What each setting does was found out with transformers 5.23 and sentence-transformers 6.2; what only
older versions follow counts as followed, since nobody knows which version a user has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from plmscan.layout import climbs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "LEFT_OUT",
    "Followed",
    "changes_the_model",
    "in_config",
    "in_generation",
    "in_special_tokens",
    "in_tokenizer",
    "in_transformer",
]

LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "_attn_implementation": "",
        "_attn_implementation_internal": "",
        "_commit_hash": "",
        "_experts_implementation_internal": "",
        "_name_or_path": "",
        "attn_implementation": "",
        "auto_map": "",
        "distributed_config": "how the model is spread over machines",
        "dtype": "",
        "experts_implementation": "",
        "fusion_config": "which parts of the model are replaced when it is loaded",
        "torch_dtype": "",
        "torchscript": "",
        "transformers_weights": "",
    }
)
"""Keys of ``config.json`` that are dropped before a model is built, and what each says.

Those with an empty text change no result by themselves: they say where the model came from and in
which precision it computes, or are judged elsewhere (implementations of attention and references to
code by ``custom-code``, weight files by the choice of weights).
"""
_CHANGING = frozenset({"fusion_config"})
"""Keys among them without which another model is built."""

_REDIRECTS = frozenset({
    "audio_tokenizer", "fast_tokenizer_files", "gguf_file", "init_inputs", "merges",
    "tokenizer_object", "vocab",
})  # fmt: skip
"""Settings of a tokenizer or processor that bring their own vocabulary or another model, whatever
files lie beside them."""
_IGNORED = frozenset({
    "added_tokens_file", "chat_template_file", "special_tokens_map_file", "tokenizer_config_file",
})  # fmt: skip
"""Settings that look like the others, and that no version ever followed."""
_USUAL = frozenset({
    "added_tokens.json", "chat_template.jinja", "merges.txt", "sentencepiece.bpe.model",
    "special_tokens_map.json", "spiece.model", "spm.model", "tokenizer.json", "tokenizer.model",
    "tokenizer_config.json", "vocab.json", "vocab.txt",
})  # fmt: skip
"""Names under which every version looks for a tokenizer's files."""
_REACHABLE = ("/proc/", "/dev/", "/sys/", "//")
"""Where a path leads back into the running program, or to another machine."""

_ARGUMENTS = ("model_args", "model_kwargs")
_CONFIG_ARGUMENTS = ("config_args", "config_kwargs")
_TOKENIZER_ARGUMENTS = ("tokenizer_args", "processor_kwargs")
_HARMLESS_ARGUMENTS = {
    **dict.fromkeys(
        _ARGUMENTS,
        frozenset({
            "add_pooling_layer", "attn_implementation", "device_map", "dtype", "low_cpu_mem_usage",
            "torch_dtype", "trust_remote_code", "use_safetensors",
        }),
    ),
    **dict.fromkeys(
        _CONFIG_ARGUMENTS, frozenset({"attn_implementation", "trust_remote_code", "use_cache"})
    ),
    **dict.fromkeys(
        _TOKENIZER_ARGUMENTS,
        frozenset({
            "clean_up_tokenization_spaces", "max_length", "model_max_length", "padding_side",
            "trust_remote_code", "truncation_side", "use_fast",
        }),
    ),
}  # fmt: skip
"""Arguments for transformers that change neither the weights nor what is computed of a text."""
_METHODS = re.compile(r"forward|get_[a-z]+_features")
"""Methods of a model that sentence-transformers calls for a text or another input."""
_WRITING = frozenset({
    "bad_words_ids", "decoder_start_token_id", "do_sample", "early_stopping", "forced_bos_token_id",
    "forced_eos_token_id", "length_penalty", "max_length", "max_new_tokens", "min_length",
    "no_repeat_ngram_size", "num_beams", "num_return_sequences", "prefix", "repetition_penalty",
    "temperature", "top_k", "top_p",
})  # fmt: skip
"""Settings of a task by which published models write: how long, how freely, in which language."""
_STEERING = frozenset({"constraints", "force_words_ids", "sequence_bias"})
"""Settings that put chosen words into what is written, also only behind certain others."""
_SHOWN = 80


@dataclass(frozen=True)
class Followed:
    """A setting that names something besides the usual files."""

    setting: str
    """Its key and its value, as far as a line holds them."""
    leads_away: bool
    """Whether a library follows it; otherwise it is left over from where the model was made."""


def changes_the_model(key: str) -> bool:
    """Whether another model is built without this key of ``config.json``."""
    return key in _CHANGING


def in_config(settings: Mapping[str, object]) -> Iterator[Followed]:
    """What ``config.json`` names instead of itself: a list of files by version of the library."""
    named = settings.get("configuration_files")
    if named and named != ["config.json"]:
        yield Followed(_shown("configuration_files", named), leads_away=True)
    prefix = settings.get("prefix")
    if isinstance(prefix, str) and any(c.isalnum() for c in prefix):  # put before what is written
        yield Followed(_shown("prefix", prefix), leads_away=True)
    tasks = settings.get("task_specific_params")
    for task, changed in tasks.items() if isinstance(tasks, dict) else ():
        for key, value in changed.items() if isinstance(changed, dict) else ():
            if key not in _WRITING:
                shown = _shown(f"task_specific_params.{task}.{key}", value)
                yield Followed(shown, leads_away=True)
    yield from in_generation(settings)


def in_generation(settings: Mapping[str, object]) -> Iterator[Followed]:
    """What ``generation_config.json`` has written whatever the model says."""
    for key in sorted(_STEERING & settings.keys()):
        if settings[key]:
            yield Followed(_shown(key, settings[key]), leads_away=True)


def in_tokenizer(settings: Mapping[str, object], folder: Path) -> Iterator[Followed]:
    """What ``tokenizer_config.json`` in ``folder`` names besides the files that lie beside it."""
    for key, value in settings.items():
        outside = key == "tokenizer_name_or_path" and isinstance(value, str) and climbs(value)
        if outside or (key in _REDIRECTS and value and value != ["tokenizer.json"]):
            yield Followed(_shown(key, value), leads_away=True)
        elif _names_a_file(key) and value and not _is_usual(value, folder):
            stale = key in _IGNORED or _is_left_over(value)
            yield Followed(_shown(key, value), leads_away=not stale)


def in_special_tokens(settings: Mapping[str, object], folder: Path) -> Iterator[Followed]:
    """The same for ``special_tokens_map.json``, whose paths transformers opens as they stand."""
    for key, value in settings.items():
        opened = _names_a_file(key) and key not in _IGNORED and not _is_usual(value, folder)
        if value and (opened or key in _REDIRECTS):
            yield Followed(_shown(key, value), leads_away=True)


def in_transformer(settings: Mapping[str, object]) -> Iterator[Followed]:
    """What ``sentence_bert_config.json`` hands to transformers instead of its defaults."""
    if settings.get("tokenizer_name_or_path"):
        shown = _shown("tokenizer_name_or_path", settings["tokenizer_name_or_path"])
        yield Followed(shown, leads_away=True)
    if settings.get("processing_kwargs"):  # a chat template of its own, for instance
        yield Followed(_shown("processing_kwargs", settings["processing_kwargs"]), leads_away=True)
    inputs = settings.get("modality_config")
    for kind, taken in inputs.items() if isinstance(inputs, dict) else ():
        method = taken.get("method", "forward") if isinstance(taken, dict) else taken
        if not (isinstance(method, str) and _METHODS.fullmatch(method)):
            yield Followed(_shown(f"modality_config.{kind}.method", method), leads_away=True)
    for arguments, harmless in _HARMLESS_ARGUMENTS.items():
        given = settings.get(arguments) or {}
        for key, value in given.items() if isinstance(given, dict) else [("", given)]:
            if key not in harmless:
                yield Followed(_shown(f"{arguments}.{key}", value), leads_away=True)


def _names_a_file(key: str) -> bool:
    """Whether the setting of a tokenizer says where one of its files lies."""
    return key.endswith(("_file", "_spm"))


def _is_usual(value: object, folder: Path) -> bool:
    """Whether it names a file that is read without being named."""
    if not isinstance(value, str):
        return False
    path = PurePosixPath(value)
    here = str(path.parent) == "." or str(path.parent) == str(folder.resolve())
    return here and path.name in _USUAL


def _is_left_over(value: object) -> bool:
    """Whether it is a path of another machine: nothing that the model brings can lie there."""
    if not isinstance(value, str):
        return False
    if climbs(value) or value.startswith(_REACHABLE):
        return False
    if value[1:3] in (":\\", ":/"):
        return value[0].isalpha()
    return value.startswith("/") and not _exists(value)


def _exists(path: str) -> bool:
    """Whether this machine has a file there."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _shown(key: str, value: object) -> str:
    """A setting as a line of a report holds it."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else _kind(value)
    return f"{key} = {text[:_SHOWN]}" + ("..." if len(text) > _SHOWN else "")


def _kind(value: object) -> str:
    """What is no text: a number as it stands, and what holds others by its kind, however deep."""
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else repr(value)
