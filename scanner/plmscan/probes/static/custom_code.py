"""Does the model ask for code of its own to be run?"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from plmscan import library_names
from plmscan.errors import in_one_line
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.layout import MODULES
from plmscan.pickles import Global, Level, Use, judge
from plmscan.probes.base import StaticProbe
from plmscan.probes.nested import pairs, texts
from plmscan.probes.words import some
from plmscan.source import HollowError, refuse_hollow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

__all__ = ["Probe"]

_ID = "custom-code"
_ROUTER = "router_config.json"
_WORD_VECTORS = "wordembedding_config.json"
_ADAPTER = "adapter_config.json"
_MAPPED = frozenset({"auto_map", "custom_pipelines", "custom_generate"})
_ACTIVATIONS = frozenset({
    "activation_fn", "activation_function", "default_activation_function",
    "sbert_ce_default_activation_function",
})  # fmt: skip
_ATTENTION = frozenset({
    "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
})  # fmt: skip
_EXPERTS = frozenset({
    "experts_implementation", "_experts_implementation", "_experts_implementation_internal",
})  # fmt: skip
_TARGET = "_target_"
"""The setting by which Hydra, and models that are built with it, name what they import."""
_MEGATRON = "megatron.core"
"""What every LoRA configuration names, whether it is there or not."""
_FOREIGN = "--"
"""In ``org/repo--module.Class``, what stands between the other repository and its class."""
_REFERENCE_GAP = (
    "With trust_remote_code=True the model runs this code, which plmscan never does: what was "
    "scanned is not what such a user runs."
)
_NAME_GAP = (
    "Libraries import and run what it names, which plmscan never does: what was scanned is not all "
    "that its users run."
)


class Probe(StaticProbe):
    """Lists the code that a model brings along or names, without running any.

    Code of a model repository runs with the rights of whoever loads the model, so it can do
    anything, and it can compute something else than the weights say: a backdoor needs no trained
    trigger where the forward pass may contain an ``if``.  A reference into another repository is
    worse, since that code can change while the pinned revision stays the same.  Names of classes
    are compared with the libraries' own, letter by letter: whatever else they name is imported too.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "code_references": "classes and pipelines that configs map to the model's code (count)",
        "foreign_references": "classes and pipelines that configs map to code elsewhere (count)",
        "custom_modules": "modules of a model outside of sentence-transformers (count)",
        "named_functions": "functions and classes that configs name for import, not the libraries' "
        "own (count)",
        "kernels": "implementations of attention or experts, not the library's own (count)",
        "custom_generate_files": "files that replace the text generation loop (count)",
        "python_files": "Python files of any use (count)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "code": "classes and pipelines that configs map to code, those of other repositories first",
        "modules": "modules outside of sentence-transformers",
        "functions": "functions and classes that configs name for import",
        "implementations": "implementations of attention or experts",
        "files": "Python files",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/transformers/custom_models",
        "https://huggingface.co/docs/transformers/generation_strategies#custom-generation-methods",
        "https://huggingface.co/docs/transformers/attention_interface",
        "https://sbert.net/docs/sentence_transformer/usage/custom_models.html",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure each file that names code, then the code files together."""
        read = [f.path for f in artifact.files if _names_code(f.path)]
        for name in read:
            yield from _references(artifact, name)
        listed = [*(f.path for f in artifact.files), *(f.path for f in artifact.not_fetched)]
        yield _code_files(listed)
        yield Coverage(f"{len(read)} configs for references to code, {len(listed)} file names.")


def _names_code(name: str) -> bool:
    """Whether loaders read references to classes from this file."""
    file = PurePosixPath(name)
    return file.suffix == ".json" and ("config" in file.name or file.name == MODULES)


def _references(artifact: Artifact, name: str) -> Iterator[Evidence | Gap]:
    """The code that one JSON file names; nothing where it names none."""
    try:
        data = artifact.path(name).read_bytes()
        refuse_hollow(name, data)
        value = json.loads(data.decode("utf-8"))
    except HollowError as error:
        yield Gap(name, f"It cannot be read, so it may name code: {error}")
        return
    except (OSError, ValueError, RecursionError) as error:
        yield Gap(name, f"It cannot be read, so it may name code: {in_one_line(error)}.")
        return
    mapped = _once(_mapped(value))
    foreign = [reference for reference in mapped if _FOREIGN in reference]
    modules = _once(n for n in _modules(name, value) if not library_names.is_module(n))
    named = (_activations(value), _word_tokenizer(name, value), _adapter(name, value))
    functions = _once((*chain.from_iterable(named), *_targets(value)))
    kernels = _once(_kernels(value))
    if mapped or modules or functions or kernels:
        yield Evidence(
            probe=_ID,
            subject=name,
            metrics={
                "code_references": float(len(mapped)),
                "foreign_references": float(len(foreign)),
                "custom_modules": float(len(modules)),
                "named_functions": float(len(functions)),
                "kernels": float(len(kernels)),
            },
            details={
                "code": some([*foreign, *mapped]),
                "modules": some(modules),
                "functions": some(functions),
                "implementations": some(kernels),
            },
        )
        yield Gap(name, _REFERENCE_GAP if mapped else _NAME_GAP)


def _once(names: Iterable[str]) -> list[str]:
    """Each name once, in their order."""
    return list(dict.fromkeys(names))


def _mapped(value: object) -> Iterator[str]:
    """Every reference below a key that maps a purpose to code, at any depth."""
    for key, inner in pairs(value):
        if key in _MAPPED:
            yield from _impl(inner)


def _impl(value: object) -> Iterator[str]:
    """All texts in ``value`` that can name a class; a pipeline also lists its model classes."""
    entries = value.values() if isinstance(value, dict) else (value,)
    for entry in entries:
        named = entry.get("impl", entry) if isinstance(entry, dict) else entry
        yield from texts(named)


def _modules(name: str, value: object) -> Iterator[str]:
    """Types that sentence-transformers would import as parts of the model."""
    file = PurePosixPath(name).name
    if file == MODULES and isinstance(value, list):
        for entry in value:
            yield from texts(entry.get("type") if isinstance(entry, dict) else entry)
    if isinstance(value, dict) and (file == _ROUTER or "structure" in value):
        yield from texts(value.get("types"))


def _activations(value: object) -> Iterator[str]:
    """Activation functions to be imported that are none of torch's or transformers'.

    A name without a dot is one of a list that the library has, such as ``gelu``.
    """
    for key, inner in pairs(value):
        if key in _ACTIVATIONS:
            dotted = (named for named in texts(inner) if "." in named)
            yield from (named for named in dotted if not library_names.is_activation(named))


def _targets(value: object) -> Iterator[str]:
    """What Hydra would import and call, if it leads to code: other names are those of classes."""
    for key, inner in pairs(value):
        if key == _TARGET:
            yield from (named for named in texts(inner) if _leads_to_code(named))


def _leads_to_code(named: str) -> bool:
    """Whether a dotted name leads to code, files or the network."""
    module, _, name = named.rpartition(".")
    return judge(Global.of(module, name), Use.BUILD) is Level.DANGEROUS


def _word_tokenizer(name: str, value: object) -> Iterator[str]:
    """The tokenizer class of word vectors, unless it is one of sentence-transformers'."""
    if PurePosixPath(name).name == _WORD_VECTORS and isinstance(value, dict):
        named = texts(value.get("tokenizer_class"))
        yield from (one for one in named if not library_names.is_word_tokenizer(one))


def _adapter(name: str, value: object) -> Iterator[str]:
    """What PEFT imports for an adapter, unless it is a model of transformers."""
    if PurePosixPath(name).name != _ADAPTER or not isinstance(value, dict):
        return
    mapping = value.get("auto_mapping")
    if isinstance(mapping, dict):
        named = [".".join(texts(mapping.get(k))) for k in ("parent_library", "base_model_class")]
        if any(named) and not library_names.is_base_model(*named):
            yield ".".join(named)
    yield from (core for core in texts(value.get("megatron_core")) if core != _MEGATRON)


def _kernels(value: object) -> Iterator[str]:
    """Implementations to be fetched or found elsewhere than in transformers."""
    for key, inner in pairs(value):
        is_own = _implementations(key)
        if is_own is not None:
            yield from (named for named in texts(inner) if not is_own(named))


def _implementations(key: str) -> Callable[[str], bool] | None:
    """Tells the library's own values of a setting; None for other settings."""
    if key in _ATTENTION:
        return library_names.is_attention
    return library_names.is_experts if key in _EXPERTS else None


def _code_files(names: Iterable[str]) -> Evidence:
    """Python files by what they are for."""
    scripts = sorted(name for name in names if name.endswith(".py"))
    generate = [name for name in scripts if name.startswith("custom_generate/")]
    return Evidence(
        probe=_ID,
        subject="Python files",
        metrics={
            "python_files": float(len(scripts)),
            "custom_generate_files": float(len(generate)),
        },
        details={"files": some(scripts)},
    )
