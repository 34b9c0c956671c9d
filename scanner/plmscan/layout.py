"""Which folders of a model its users' libraries load, and what as.

transformers loads ``config.json`` beside the weights.  sentence-transformers, SetFit and PyLate
read ``modules.json`` first, which names a folder and a class for each part of the model; for a
router, ``router_config.json`` names more.  The scan follows them: `Layout.home` is the folder of
the Transformer that is measured, and whatever else they would load is named, so that nobody takes
it for scanned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

__all__ = [
    "ADAPTER",
    "ALONE",
    "MODULES",
    "NOTES",
    "ROUTERS",
    "ROUTER_CONFIGS",
    "SETFIT_HEAD",
    "Layout",
    "Module",
    "Unread",
    "climbs",
    "gguf_models",
    "inside",
    "leaves",
    "read_layout",
]

ADAPTER = "adapter_config.json"
"""The file by which PEFT knows an adapter, which is put on a model that lies elsewhere."""
MODULES = "modules.json"
"""The file in which sentence-transformers lists the parts of a model."""
ROUTER_CONFIGS = ("router_config.json", "config.json")
"""Where its routers list theirs, the first that is there."""
NOTES = frozenset({".git", ".hg", ".svn", ".cache/huggingface"})
"""Folders of version control and of downloads, which are not read."""
SETFIT_HEAD = "model_head.pkl"
"""The file in which SetFit keeps the classifier that reads a model of sentence-transformers."""
ROUTERS = ("Router", "Asym")
"""Modules behind which texts take different ways."""
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What transformers looks for beside ``config.json``."""
_GGUF = ".gguf"
_MOST_MODULES = 1000
_BY_ITSELF = "Check it by itself (plmscan check FOLDER), or take it out of the model."
_WRITE_AGAIN = "Save the model again with sentence-transformers."


@dataclass(frozen=True)
class Module:
    """One part of a model of sentence-transformers."""

    place: str
    """The file that names it."""
    folder: str
    """Its folder inside the model, with forward slashes; empty for the model's own."""
    type: str
    """The class that is imported for it, with its module."""

    @property
    def name(self) -> str:
        """The class without its module."""
        return self.type.rpartition(".")[2]


@dataclass(frozen=True)
class Unread:
    """Something that a library would load and the scan does not."""

    subject: str
    """What it is: a folder, a file, or an entry of one."""
    reason: str
    """Why it is not read, and what to do about it."""


@dataclass(frozen=True)
class Layout:
    """What is loaded from where."""

    home: str = ""
    """Folder of the Transformer that is measured; empty for the model's own."""
    modules: tuple[Module, ...] = ()
    """Parts that ``modules.json`` and routers name, in their order; empty without the file."""
    unread: tuple[Unread, ...] = ()
    """What libraries would load and the scan does not, in the order of the files."""
    is_adapter: bool = False
    """Whether an adapter lies at `home`, and no model."""
    siblings: tuple[str, ...] = ()
    """Folders of the other adapters beside that one, sorted."""

    def at_home(self, name: str) -> str:
        """The name inside the model of the file ``name`` of the Transformer's folder."""
        return inside(self.home, name)


ALONE = Layout()
"""A model of transformers: its own folder, and nothing besides."""


def inside(folder: str, name: str) -> str:
    """``name`` in ``folder``, which is empty for the model's own."""
    return f"{folder}/{name}" if folder else name


def climbs(path: str) -> bool:
    """Whether a path goes up, by whichever slashes, and so may end anywhere."""
    return ".." in path.replace("\\", "/").split("/")


def leaves(path: str) -> bool:
    """Whether a path that a file of a model names leads out of the folder that it starts in."""
    first = path.replace("\\", "/").split("/")[0]
    return path.startswith(("/", "\\", "~")) or ":" in first or climbs(path)


def gguf_models(names: Collection[str], home: str = "") -> tuple[str, ...]:
    """GGUF models in the folder ``home``, sorted; none beside weights that transformers prefers."""
    if any(inside(home, weights) in names for weights in _WEIGHTS):
        return ()
    found = (PurePosixPath(name) for name in names if name.endswith(_GGUF))
    return tuple(sorted(str(f) for f in found if f.parent == PurePosixPath(home)))


def read_layout(
    names: Collection[str], read: Callable[[str], object], adapter: str | None = None
) -> Layout:
    """How the files ``names`` are loaded.

    Args:
        names: all files of the model.
        read: the JSON value in one of them.
        adapter: folder of the adapter that is meant where there are several; None for the one in
            the model's own folder, or for the first.

    Raises:
        ArtifactError: ``modules.json`` or the configuration of a router cannot be used.
    """
    found = list(_listed(names, read)) if MODULES in names else []
    modules = tuple(module for module in found if isinstance(module, Module))
    models = [f for f in _model_folders(names) if _model_type(inside(f, "config.json"), read)]
    adapters = _adapter_folders(names)
    there = {*models, *adapters}
    named = [m.folder for m in modules if m.folder in there or _has_config(m.folder, names, read)]
    home = named[0] if named else _alone(models, adapters)
    home = home if adapter is None else adapter
    unread = [module for module in found if isinstance(module, Unread)]
    if modules and not named:
        reason = f"It names no Transformer, so what its users run is not measured. {_BY_ITSELF}"
        unread.append(Unread(MODULES, reason))
    others = dict.fromkeys(folder for folder in [*named, *models] if folder not in adapters)
    unread += [_second(folder, home) for folder in others if folder != home]
    is_adapter = home in adapters
    siblings = tuple(f for f in adapters if f != home) if is_adapter else ()
    return Layout(home, modules, tuple(unread), is_adapter, siblings)


def _second(folder: str, home: str) -> Unread:
    """A model beside the one that is measured."""
    measured = f"the one in {home}" if home else "the one beside it"
    if not folder:
        measured = f"the one in {home}, which {MODULES} names"
        return Unread("config.json", f"A second model, of which only {measured}, is measured.")
    return Unread(folder, f"Another model, of which only {measured} is measured. {_BY_ITSELF}")


def _model_folders(names: Collection[str]) -> list[str]:
    """Folders with a configuration and weights that transformers would load, sorted."""
    configs = (PurePosixPath(name) for name in names if PurePosixPath(name).name == "config.json")
    folders = ("" if c.parent == PurePosixPath() else c.parent.as_posix() for c in configs)
    return sorted(f for f in folders if any(inside(f, weights) in names for weights in _WEIGHTS))


def _adapter_folders(names: Collection[str]) -> list[str]:
    """Folders that hold an adapter and no model of their own, sorted."""
    files = (PurePosixPath(name) for name in names if PurePosixPath(name).name == ADAPTER)
    folders = ("" if f.parent == PurePosixPath() else f.parent.as_posix() for f in files)
    return sorted(f for f in folders if not any(inside(f, w) in names for w in _WEIGHTS))


def _alone(models: Collection[str], adapters: Sequence[str]) -> str:
    """Where the measured part lies without ``modules.json``: an adapter's folder may be deeper."""
    return adapters[0] if adapters and not models else ""


def _has_config(folder: str, names: Collection[str], read: Callable[[str], object]) -> bool:
    """Whether ``folder`` holds the configuration of a Transformer."""
    config = inside(folder, "config.json")
    return config in names and _model_type(config, read)


def _model_type(config: str, read: Callable[[str], object]) -> bool:
    """Whether the file names a type of model, as that of a Transformer does; in doubt, it does."""
    try:
        value = read(config)
    except ArtifactError:
        return True
    return isinstance(value, dict) and "model_type" in value


def _listed(names: Collection[str], read: Callable[[str], object]) -> Iterator[Module | Unread]:
    """The modules of ``modules.json``, those of routers behind them."""
    entries = read(MODULES)
    if not isinstance(entries, list) or not entries or len(entries) > _MOST_MODULES:
        msg = f"{MODULES} does not list the parts of a model."
        raise ArtifactError(msg, _WRITE_AGAIN)
    for entry in entries:
        found = _module(MODULES, entry)
        yield found
        if isinstance(found, Module) and found.name in ROUTERS:
            yield from _routers(found, names, read)


def _routers(
    router: Module, names: Collection[str], read: Callable[[str], object]
) -> Iterator[Module | Unread]:
    """The modules of a router, and those of the routers among them."""
    todo, seen = [router], {router.folder}
    while todo:
        for found in _routed(todo.pop(0), names, read):
            yield found
            is_router = isinstance(found, Module) and found.name in ROUTERS
            if isinstance(found, Module) and is_router and found.folder not in seen:
                seen.add(found.folder)
                todo.append(found)


def _module(place: str, entry: object) -> Module | Unread:
    """One entry of ``place``.

    Raises:
        ArtifactError: it does not say what to load.
    """
    path = entry.get("path") if isinstance(entry, dict) else None
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not isinstance(kind, str):
        msg = f"{place} has an entry without the path or the type of a module."
        raise ArtifactError(msg, _WRITE_AGAIN)
    folder = _plain(path)
    problem = "is not inside the model" if folder is None else ""
    if folder is not None and any(f"{folder}/".startswith(f"{notes}/") for notes in NOTES):
        problem = "holds notes of version control or of downloads, and is not read"
    if folder is None or problem:
        reason = f"It names the folder {path[:80]!r}, which {problem}."
        return Unread(place, f"{reason} {_WRITE_AGAIN}")
    return Module(place, folder, kind)


def _plain(path: str) -> str | None:
    """The folder that ``path`` means inside the model; None if it lies elsewhere."""
    parts = path.replace("\\", "/").split("/")
    return None if leaves(path) else "/".join(part for part in parts if part not in ("", "."))


def _routed(
    router: Module, names: Collection[str], read: Callable[[str], object]
) -> Iterator[Module | Unread]:
    """The modules of a router.

    Raises:
        ArtifactError: it does not say what to load.
    """
    configs = [inside(router.folder, name) for name in ROUTER_CONFIGS]
    config = next((name for name in configs if name in names), None)
    if config is None:
        yield Unread(router.folder or MODULES, f"{configs[0]} is missing. {_WRITE_AGAIN}")
        return
    value = read(config)
    types = value.get("types") if isinstance(value, dict) else None
    if not isinstance(types, dict) or len(types) > _MOST_MODULES:
        msg = f"{config} does not say which modules the router has."
        raise ArtifactError(msg, _WRITE_AGAIN)
    for folder, kind in types.items():
        path = folder if _plain(folder) is None else inside(router.folder, folder)
        yield _module(config, {"path": path, "type": kind})
