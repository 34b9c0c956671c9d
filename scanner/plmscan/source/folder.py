"""A model in a folder of this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError
from plmscan.layout import MODULES, gguf_models, read_layout
from plmscan.source.artifact import Artifact, ListedFile, read_object, read_value
from plmscan.source.files import LOADABLE, belongs, digests, kinds, walk
from plmscan.source.weights import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from plmscan.layout import Layout
    from plmscan.source.artifact import SourceOptions

__all__ = ["from_folder", "require_config"]

_NO_FILE = "no regular file"
_MOST = 5
"""Parts of a model that are named."""


def from_folder(
    typed: str, root: Path, on_progress: Callable[[float, str], None], options: SourceOptions
) -> Artifact:
    """The model or adapter in the folder ``root``, which the user named ``typed``.

    Raises:
        ArtifactError: the folder holds no model, or one that cannot be trusted to be whole.
    """
    there = walk(root)
    sizes = {name: size for name, size in there.items() if size is not None}
    layout = read_layout(sizes, partial(read_value, root), options.adapter_folder)
    require_config(typed, sizes, layout)
    read = partial(read_object, root)
    weights, problem = choose(sizes, read, layout, allow_pickle=options.allow_pickle)
    held = kinds(root, sizes)
    ours = {n: s for n, s in sizes.items() if belongs(n) or held[n] in LOADABLE}
    others = (n for n in there if n not in ours)
    return Artifact(
        id=typed,
        revision=None,
        root=root,
        files=digests(root, ours, held, on_progress),
        weights=weights,
        not_fetched=tuple(ListedFile(n, there[n] or 0, held.get(n, _NO_FILE)) for n in others),
        hub_status=None,
        weights_problem=problem,
        layout=layout,
    )


def require_config(model: str, names: Collection[str], layout: Layout) -> None:
    """Refuse files that are no model of transformers.

    Raises:
        ArtifactError: there is no ``config.json`` where the measured model is, and no GGUF model,
            which brings its own.
    """
    if layout.is_adapter or layout.at_home("config.json") in names:
        return
    if not layout.modules and gguf_models(names):
        return
    if not names:
        problem, remedy = "holds no files", "Name the folder that holds config.json."
    elif layout.modules and not any(m.name.endswith("Transformer") for m in layout.modules):
        parts = ", ".join(module.name for module in layout.modules[:_MOST])
        problem = f"consists of {parts} by {MODULES}, and of no Transformer"
        remedy = "plmscan measures models with a Transformer, and cannot check this one."
    else:
        problem = "holds no config.json"
        remedy = _nearest(names)
    msg = f"{model} {problem}."
    raise ArtifactError(msg, remedy)


def _nearest(names: Collection[str]) -> str:
    """What to name instead: a folder inside that holds a model, where there is one."""
    deeper = sorted(name for name in names if name.endswith("/config.json"))
    if deeper:
        return f"Name a folder inside that is a model, such as {deeper[0].rpartition('/')[0]}."
    return "Name the folder or repository of a transformers model."
