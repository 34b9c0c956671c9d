"""Which weight files will be loaded: the choice that transformers makes, made before it.

The order is transformers': the file that ``config.transformers_weights`` names, then
``model.safetensors``, then the shards of ``model.safetensors.index.json``, then the same two names
for pickles.  A GGUF model, which transformers loads where it is told its name, is taken where it is
the only one and there is nothing else.  A folder may hold others beside the chosen ones; those are
never loaded.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from plmscan.errors import ArtifactError
from plmscan.layout import ADAPTER, gguf_models, leaves
from plmscan.source.files import holds_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from plmscan.layout import Layout

__all__ = ["choose"]

_FORMATS = (
    ("model.safetensors", "model.safetensors.index.json", ".safetensors"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", ".bin"),
)
_OF_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
_BOTH = (
    f"The model holds an adapter ({ADAPTER}) beside weights of its own: where peft is installed, "
    "transformers puts it on another model, and elsewhere it takes these weights. Keep the two in "
    "folders of their own."
)
_SAVE_AGAIN = "Save the model again with save_pretrained, or download it again."


def choose(
    names: Collection[str],
    read: Callable[[str], dict[str, Any]],
    layout: Layout,
    *,
    allow_pickle: bool,
) -> tuple[tuple[str, ...], str | None]:
    """The files to load, or none and the reason.

    Args:
        names: all files of the model.
        read: the JSON object in one of them.
        layout: which folder is measured.
        allow_pickle: whether pickles may be chosen where there is nothing else.

    Raises:
        ArtifactError: the config or an index is broken, points out of the model, to a missing
            file, or to a file of another format.
    """
    start = layout.at_home("")
    at_home = {name.removeprefix(start) for name in names if name.startswith(start)}
    if layout.is_adapter:
        found, problem = _of_adapter(at_home, allow_pickle=allow_pickle)
        return tuple(map(layout.at_home, found)), problem
    found, problem = _chosen(
        at_home, lambda name: read(layout.at_home(name)), allow_pickle=allow_pickle
    )
    return tuple(map(layout.at_home, found)), problem


def _chosen(
    names: Collection[str], read: Callable[[str], dict[str, Any]], *, allow_pickle: bool
) -> tuple[tuple[str, ...], str | None]:
    """The same in the folder of the measured model, with names that start there."""
    explicit = read("config.json").get("transformers_weights") if "config.json" in names else None
    if ADAPTER in names:
        return (), _BOTH
    if explicit is not None:
        return _explicit(explicit, names, read), None
    for single, index, suffix in _FORMATS if allow_pickle else _FORMATS[:1]:
        if single in names:
            return (single,), None
        if index in names:
            return _shards(index, suffix, names, read), None
    ggufs = gguf_models(names)
    return (ggufs, None) if len(ggufs) == 1 else ((), _several(ggufs) or _nothing(names))


def _of_adapter(
    names: Collection[str], *, allow_pickle: bool
) -> tuple[tuple[str, ...], str | None]:
    """The file of an adapter among ``names``, as PEFT chooses it."""
    safe, pickled = _OF_ADAPTERS
    if safe in names:
        return (safe,), None
    if pickled not in names:
        return (), f"The adapter has no weights ({safe})."
    if allow_pickle:
        return (pickled,), None
    return (), f"The adapter is pickled ({pickled}), which needs --allow-pickle."


def _several(ggufs: Sequence[str]) -> str:
    """Why none of several GGUF models is loaded; nothing where there is none."""
    if not ggufs:
        return ""
    return (
        f"There are {len(ggufs)} GGUF models ({_some(ggufs)}), and which one is used is not said. "
        "Put that one into a folder of its own, and check the folder."
    )


def _nothing(names: Collection[str]) -> str:
    """Why there is nothing to load."""
    pickles = [name for name in _FORMATS[1] if name in names]
    if pickles:
        return f"The weights are pickled ({pickles[0]}), which needs --allow-pickle."
    others = sorted(name for name in names if holds_weights(name))
    if others:
        return f"None of the weight files ({_some(others)}) is one that transformers loads."
    return "There are no weight files."


def _some(names: Sequence[str]) -> str:
    """As many names as a line holds."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")  # noqa: PLR2004 - as said


def _explicit(
    explicit: object, names: Collection[str], read: Callable[[str], dict[str, Any]]
) -> tuple[str, ...]:
    """The files behind ``config.transformers_weights``."""
    place = "config.json (transformers_weights)"
    if isinstance(explicit, str) and explicit.endswith(".safetensors.index.json"):
        return _shards(_inside(explicit, ".json", place, names), ".safetensors", names, read)
    return (_inside(explicit, ".safetensors", place, names),)


def _shards(
    index: str, suffix: str, names: Collection[str], read: Callable[[str], dict[str, Any]]
) -> tuple[str, ...]:
    """The files that an index of sharded weights names, sorted."""
    content = read(index)
    mapping = content.get("weight_map")
    if (
        not isinstance(mapping, dict)
        or not mapping
        or not isinstance(content.get("metadata"), dict)
    ):
        msg = f"{index} is not an index of weights: it lacks a weight_map or metadata."
        raise ArtifactError(msg, _SAVE_AGAIN)
    return tuple(sorted({_inside(shard, suffix, index, names) for shard in mapping.values()}))


def _inside(named: object, suffix: str, place: str, names: Collection[str]) -> str:
    """The name of a file of the model, in the spelling of ``names``."""
    path = PurePosixPath(named if isinstance(named, str) else "/")
    if not isinstance(named, str) or leaves(named):
        problem = "which does not lie in the model's folder"
    elif path.suffix != suffix:
        problem = f"which is not a {suffix} file"
    elif str(path) not in names:
        problem = "which is missing"
    else:
        return str(path)
    msg = f"{place} names the weights {str(named)[:80]!r}, {problem}."
    raise ArtifactError(msg, _SAVE_AGAIN)
