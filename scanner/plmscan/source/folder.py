"""A model in a folder of this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError
from plmscan.source.artifact import Artifact, ListedFile, read_object
from plmscan.source.files import belongs, digests, walk
from plmscan.source.weights import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

__all__ = ["from_folder", "require_config"]


def from_folder(
    typed: str, root: Path, on_progress: Callable[[float, str], None], *, allow_pickle: bool
) -> Artifact:
    """The model in the folder ``root``, which the user named ``typed``.

    Raises:
        ArtifactError: the folder holds no model, or one that cannot be trusted to be whole.
    """
    sizes = walk(root)
    require_config(typed, sizes)
    weights, problem = choose(sizes, partial(read_object, root), allow_pickle=allow_pickle)
    ours = {name: size for name, size in sizes.items() if belongs(name)}
    return Artifact(
        id=typed,
        revision=None,
        root=root,
        files=digests(root, ours, on_progress),
        weights=weights,
        not_fetched=tuple(ListedFile(n, s) for n, s in sizes.items() if n not in ours),
        hub_status=None,
        weights_problem=problem,
    )


def require_config(model: str, names: Collection[str]) -> None:
    """Refuse files that are no model of transformers.

    Raises:
        ArtifactError: there is no ``config.json``.
    """
    if "config.json" in names:
        return
    if not names:
        problem, remedy = "holds no files", "Name the folder that holds config.json."
    elif "adapter_config.json" in names:
        problem = "is an adapter, not a whole model"
        remedy = "Merge it into its base model, and scan the result."
    else:
        problem = "holds no config.json"
        remedy = "Name the folder or repository of a transformers model."
    msg = f"{model} {problem}."
    raise ArtifactError(msg, remedy)
