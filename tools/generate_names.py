"""Write down which classes the libraries load models of, so that no check has to import them.

``python tools/generate_names.py`` rewrites the list from the installed sentence-transformers, torch
and transformers; with ``--check`` it changes nothing and fails if the list is out of date.
"""  # noqa: INP001 - a script

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers
from sentence_transformers.base.modules.module import Module
from sentence_transformers.sentence_transformer.modules.tokenizer import WordTokenizer
from sentence_transformers.util.deprecated_import import DEPRECATED_MODULE_PATHS
from torch.nn.modules import activation
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]
NAMES = ROOT / "scanner" / "plmscan" / "library_names.json"

PYLATE = ("pylate.models.Dense", "pylate.models.Dense.Dense")
"""What PyLate calls the Dense of sentence-transformers; it is no dependency of ours."""
_FAMILIES = (
    "base",
    "cross_encoder",
    "multi_vector_encoder",
    "sentence_transformer",
    "sparse_encoder",
)
"""Packages of sentence-transformers with modules of their own."""
RETIRED = ("ALBERT", "BERT", "CamemBERT", "DistilBERT", "RoBERTa", "T5", "XLMRoBERTa", "XLNet")
"""What the first versions of sentence-transformers called their Transformer."""


def generated() -> dict[str, object]:
    """The whole list."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = _classes_below(Module)
        tokenizers = _classes_below(WordTokenizer)
    old = [f"sentence_transformers.models.{name}" for name in RETIRED]
    return {
        "versions": {
            name: version(name).partition("+")[0]
            for name in ("sentence-transformers", "torch", "transformers")
        },
        "modules": sorted({*modules, *PYLATE, *old, *(f"{n}.{n.rpartition('.')[2]}" for n in old)}),
        "word_tokenizers": sorted(tokenizers),
        "activations": sorted(set(_activations())),
        "attention": sorted({"eager", *ALL_ATTENTION_FUNCTIONS.keys(), *_paged()}),
        "experts": sorted({"eager", *ALL_EXPERTS_FUNCTIONS.keys()}),
        "base_models": dict(sorted(_base_models())),
    }


def _classes_below(base: type) -> set[str]:
    """Every name by which sentence-transformers' classes below ``base`` can be imported."""
    found = set()
    for place in _places():
        module = importlib.import_module(place)
        members = inspect.getmembers(module, inspect.isclass)
        public = getattr(module, "__all__", None)
        for name, kind in members:
            own = kind.__module__ == module.__name__ or (public is not None and name in public)
            if own and issubclass(kind, base):
                found.add(f"{place}.{name}")
    return found


def _places() -> Iterator[str]:
    """Where sentence-transformers keeps what a model consists of, under the old paths too."""
    for family in _FAMILIES:
        place = f"sentence_transformers.{family}.modules"
        package = importlib.import_module(place)
        yield place
        yield from (m.name for m in pkgutil.walk_packages(package.__path__, f"{place}."))
    yield from (old for old, new in DEPRECATED_MODULE_PATHS.items() if ".modules" in new)


def _activations() -> Iterator[str]:
    """Activation functions that can be made from their name alone, as the loaders make them."""
    for name in (*activation.__all__, "Identity"):
        kind = getattr(torch.nn, name)
        if _needs_nothing(kind):
            yield from (f"torch.nn.{name}", f"torch.nn.modules.{name}")
            yield f"{kind.__module__}.{name}"
    for name, kind in inspect.getmembers(transformers.activations, inspect.isclass):
        own = kind.__module__ == "transformers.activations" and issubclass(kind, torch.nn.Module)
        if own and _needs_nothing(kind):
            yield f"transformers.activations.{name}"


def _needs_nothing(kind: type) -> bool:
    """Whether the class can be made without arguments."""
    parameters = inspect.signature(kind).parameters.values()
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty or p.kind in open_ended for p in parameters)


def _paged() -> Iterable[str]:
    """Older names of the same implementations of attention."""
    return (f"paged|{name}" for name in ALL_ATTENTION_FUNCTIONS.keys() if "|" not in name)  # noqa: SIM118 - no dict


def _base_models() -> Iterator[tuple[str, list[str]]]:
    """Classes of models in each module of transformers, read without importing any."""
    for path in Path(transformers.__file__).parent.glob("models/*/modeling_*.py"):
        names = [name for name in _public(path) if name[:1].isupper() and "Config" not in name]
        if names:
            yield f"transformers.models.{path.parent.name}.{path.stem}", sorted(names)


def _public(path: Path) -> list[str]:
    """The ``__all__`` of a file; of what stands before it nothing is parsed, which takes long."""
    _, start, rest = path.read_text(encoding="utf-8").partition("\n__all__ = ")
    for node in ast.parse(start + rest).body:
        if isinstance(node, ast.Assign):
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def written(names: dict[str, object]) -> str:
    """The list as its file holds it."""
    return json.dumps(names, indent=1) + "\n"


def main(*, check: bool) -> int:
    """Write the list, or say that it is out of date; the exit code."""
    text = written(generated())
    stale = not NAMES.exists() or NAMES.read_text(encoding="utf-8") != text
    if check and stale:
        sys.stderr.write(f"{NAMES.relative_to(ROOT)}: run `python tools/generate_names.py`.\n")
    elif stale:
        NAMES.write_text(text, encoding="utf-8")
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
