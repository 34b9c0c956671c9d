"""Does the model ask for code of its own to be run?"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import some
from plmscan.source import HollowError, refuse_hollow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

__all__ = ["Probe"]

_ID = "custom-code"
_MODULES = "modules.json"
_OWN_MODULES = "sentence_transformers."
_KEYS = frozenset({"auto_map", "custom_pipelines"})
_FOREIGN = "--"
"""In ``org/repo--module.Class``, what stands between the other repository and its class."""
_REFERENCE_GAP = (
    "With trust_remote_code=True the model runs this code, which plmscan never does: what was "
    "scanned is not what such a user runs."
)


class Probe(StaticProbe):
    """Lists the code that a model brings along or names, without running any.

    Code of a model repository runs with the rights of whoever loads the model, so it can do
    anything, and it can compute something else than the weights say: a backdoor needs no trained
    trigger where the forward pass may contain an ``if``.  A reference into another repository is
    worse, since that code can change while the pinned revision stays the same.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "code_references": "classes and pipelines that configs map to the model's code (count)",
        "foreign_references": "those of them that name another repository (count)",
        "custom_modules": "modules.json entries outside of sentence-transformers (count)",
        "custom_generate_files": "files that replace the text generation loop (count)",
        "python_files": "Python files of any use (count)",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/transformers/custom_models",
        "https://huggingface.co/docs/transformers/generation_strategies#custom-generation-methods",
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
    return file.suffix == ".json" and ("config" in file.name or file.name == _MODULES)


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
        problem = " ".join(str(error).split()) or type(error).__name__
        yield Gap(name, f"It cannot be read, so it may name code: {problem}.")
        return
    mapped = list(dict.fromkeys(_mapped(value)))
    modules = _custom_modules(value) if PurePosixPath(name).name == _MODULES else []
    foreign = [reference for reference in mapped if _FOREIGN in reference]
    if mapped or modules:
        yield Evidence(
            probe=_ID,
            subject=name,
            metrics={
                "code_references": float(len(mapped)),
                "foreign_references": float(len(foreign)),
                "custom_modules": float(len(modules)),
            },
            details={"code": some([*foreign, *mapped] if foreign else [*mapped, *modules])},
        )
        yield Gap(name, _REFERENCE_GAP)


def _mapped(value: object) -> Iterator[str]:
    """Every reference below an ``auto_map`` or ``custom_pipelines`` key, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(inner) if key in _KEYS else _mapped(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _mapped(inner)


def _strings(value: object) -> Iterator[str]:
    """All strings in ``value`` that can name a class."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        impl = value.get("impl", list(value.values()))  # a pipeline also lists its model classes
        yield from _strings(impl)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _custom_modules(value: object) -> list[str]:
    """Types in ``modules.json`` that sentence-transformers would import from elsewhere."""
    entries = value if isinstance(value, list) else []
    types = [str(e.get("type", "")) for e in entries if isinstance(e, dict)]
    return [name for name in types if not name.startswith(_OWN_MODULES)]


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
