"""The files of a model, as they were found: named, hashed, and not yet loaded."""

from __future__ import annotations

import json
import os
from codecs import BOM_UTF8
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from plmscan.errors import ArtifactError
from plmscan.evidence import FileDigest, ListedFile
from plmscan.layout import ALONE, SETFIT_HEAD
from plmscan.plain_text import require_narrow
from plmscan.source.contents import refuse_hollow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from plmscan.layout import Layout, Unread
    from plmscan.source.signers import Signer

__all__ = [
    "Artifact",
    "HubIssue",
    "HubStatus",
    "ListedFile",
    "Pinned",
    "SourceOptions",
    "read_object",
    "read_value",
]

_File = TypeVar("_File", FileDigest, ListedFile)
_AGAIN = "Save or download the model again."

_LARGEST_TOKENIZER = 256 * 2**20
"""Bytes; the largest tokenizer.json known is a tenth of this."""
_LARGEST_JSON = 32 * 2**20
"""Of all others: the index of a model with a trillion parameters has half of this.  They are read
where the model is looked for, and a parsed list takes twenty times what it takes in the file."""


@dataclass(frozen=True)
class Pinned:
    """What a lock file holds of a model."""

    revision: str | None
    """Commit SHA of a Hub model; None for a folder."""
    files: Mapping[str, str]
    """SHA-256 by path."""


@dataclass(frozen=True)
class SourceOptions:
    """How to find and fetch a model."""

    revision: str | None = None
    """Branch, tag or commit of a Hub model; None for its default branch."""
    offline: bool = False
    """Read the cache only, and ask nobody."""
    cache_dir: Path | None = None
    """Cache of Hub files; None for the one that all Hugging Face libraries share."""
    allow_pickle: bool = False
    """Whether pickled weights may be fetched and loaded where there are no others."""
    endpoint: str | None = None
    """Address of the Hub; None for ``HF_ENDPOINT``, and without that the public Hub."""
    locked: Mapping[str, str] | None = None
    """SHA-256 by path that a lock file gives the model's files; None if none names the model."""
    backend: str = "torch"
    """Runtime that the user loads the model with, as sentence-transformers calls it."""
    all_files: bool = False
    """Whether every file of a Hub model is fetched, also those that nothing loads."""
    pinned: Mapping[str, Pinned] = field(default_factory=dict)
    """What a lock file holds of the base and the adapters, by their names."""
    adapter_folder: str | None = None
    """Folder of the adapter that is meant, of several; None for the first."""
    signers: tuple[str, ...] = ()
    """Who may have signed the model, as `plmscan.source.signers.signer` reads it."""
    require_signature: bool = False
    """Whether one of them has to have."""


@dataclass(frozen=True)
class HubIssue:
    """A file that the Hub's own scanners flag."""

    path: str
    """Path inside the model, with forward slashes."""
    level: str
    """The Hub's word: ``unsafe``, ``suspicious``, ``caution``, or one not seen before."""


@dataclass(frozen=True)
class HubStatus:
    """What the Hub's own scanners say about one commit."""

    scans_done: bool
    """Whether they have finished; before that, silence says nothing."""
    issues: tuple[HubIssue, ...]
    """The files that they flag, sorted by path."""


@dataclass(frozen=True)
class Artifact:
    """A model as files on this machine."""

    id: str
    """What the user typed, without the revision."""
    revision: str | None
    """Commit SHA of a Hub model; None for a folder."""
    root: Path
    """The folder that holds the files."""
    files: tuple[FileDigest, ...]
    """Every file that the checks read or that could be loaded, sorted by path."""
    weights: tuple[str, ...]
    """Exactly the weight files that will be loaded."""
    not_fetched: tuple[ListedFile, ...]
    """Files that the repository or folder holds and nobody read, sorted by path."""
    hub_status: HubStatus | None
    """What the Hub's scanners say; None for folders, and where the Hub was not asked."""
    weights_problem: str | None
    """Why ``weights`` is empty, in one sentence; None if it is not."""
    locked: Mapping[str, str] | None = None
    """SHA-256 by path that a lock file gives the files; None if none names the model."""
    layout: Layout = ALONE
    """Which of its folders libraries load, and what as."""
    backend: str = "torch"
    """Runtime that the user loads the model with, as sentence-transformers calls it."""
    programs: Mapping[str, Path] = field(default_factory=dict)
    """Copies of the part that is a program, by path, of large pickles among `not_fetched`."""
    unread: tuple[Unread, ...] = ()
    """Files among `not_fetched` that could run, and nobody knows what they hold."""
    base: Artifact | None = None
    """What an adapter is put on; None for a model, and where it could not be had."""
    base_problem: str | None = None
    """Why an adapter has no ``base``, and what to do; None if it has, and for a model."""
    adapters: tuple[Artifact, ...] = ()
    """Adapters that are put on top of it, in their order."""
    named_digests: Mapping[str, str] | None = None
    """Of a base: SHA-256 by path that the Hub lists for the base that the adapter names; None
    where that could not be asked."""
    signers: tuple[Signer, ...] = ()
    """Who may have signed the model."""
    signature_required: bool = False
    """Whether one of them has to have."""
    signature: FileDigest | None = None
    """A signature that lies beside the folder; its path begins with ``../``."""

    @property
    def measured(self) -> Artifact:
        """The Transformer that is measured, as a model of its own; the paths start in its folder.

        Where ``modules.json`` names a folder, everything about weights, configuration and tokenizer
        is read there; otherwise this is the model itself.
        """
        home = self.layout.home
        if not home:
            return self
        return replace(
            self,
            root=self.root / home,
            files=tuple(_moved(self.files, home)),
            weights=tuple(name.removeprefix(f"{home}/") for name in self.weights),
            not_fetched=tuple(_moved(self.not_fetched, home)),
            programs={},
            unread=(),
            locked=None,
            layout=replace(self.layout, home=""),
        )

    @property
    def is_adapter(self) -> bool:
        """Whether it is an adapter, which computes nothing by itself."""
        return self.layout.is_adapter

    @property
    def stack(self) -> tuple[Artifact, ...]:
        """All that is loaded together: a model, then the adapters on it in their order."""
        below = (self.base,) if self.is_adapter and self.base is not None else ()
        return (*below, self, *self.adapters)

    @property
    def on_top(self) -> tuple[Artifact, ...]:
        """The adapters among these."""
        return tuple(part for part in self.stack if part.is_adapter)

    @property
    def used(self) -> Artifact:
        """Whose layout and tokenizer count: those of the last adapter that brings its own."""
        return next((part for part in self.on_top[::-1] if part.layout.modules), self.stack[0])

    @property
    def readable(self) -> dict[str, Path]:
        """Where what can be read of each file lies, by path: all of it, or only its program."""
        return {file.path: self.path(file.path) for file in self.files} | dict(self.programs)

    @cached_property
    def _paths(self) -> frozenset[str]:
        """Paths of `files`."""
        return frozenset(file.path for file in self.files)

    def path(self, name: str) -> Path:
        """Where the file ``name`` lies on this machine."""
        return self.root / name

    def has(self, name: str) -> bool:
        """Whether ``name`` is one of `files`."""
        return name in self._paths

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object in the file ``name``.

        Raises:
            ArtifactError: there is no such file in `files`, or it holds no JSON object.
        """
        if not self.has(name):
            msg = f"The model has no file {name}."
            raise ArtifactError(msg, "Check that the model was saved completely.")
        return read_object(self.root, name)

    @property
    def has_setfit_head(self) -> bool:
        """Whether `files` hold a head of SetFit, behind the modules that it reads."""
        return bool(self.layout.modules) and self.has(SETFIT_HEAD)

    @property
    def gguf(self) -> str | None:
        """The GGUF model that is loaded; None where the weights are others."""
        return next((name for name in self.weights if name.endswith(".gguf")), None)

    @property
    def is_shrunken(self) -> bool:
        """Whether its weights have fewer digits than they are computed with."""
        try:
            return self.gguf is not None or self.config.get("quantization_config") is not None
        except ArtifactError:
            return False

    @property
    def config(self) -> dict[str, Any]:
        """The ``config.json`` of the Transformer that is measured; empty for adapters and GGUF.

        Libraries take that of the base, whatever lies beside an adapter, and that in a GGUF model.

        Raises:
            ArtifactError: it is broken.
        """
        if self.is_adapter or self.gguf is not None:
            return {}
        return self.read_json(self.layout.at_home("config.json"))


def _moved(files: Iterable[_File], home: str) -> Iterator[_File]:
    """The files below ``home``, with paths that start there."""
    start = f"{home}/"
    for file in files:
        if file.path.startswith(start):
            yield replace(file, path=file.path.removeprefix(start))


def read_object(root: Path, name: str) -> dict[str, Any]:
    """The JSON object in the file ``name`` of the folder ``root``.

    Raises:
        ArtifactError: the file cannot be read, or it holds something else.
    """
    value = read_value(root, name)
    if not isinstance(value, dict):
        msg = f"{name} should hold a JSON object, and holds a {type(value).__name__}."
        raise ArtifactError(msg, _AGAIN)
    return value


def read_value(root: Path, name: str) -> object:
    """The JSON value in the file ``name`` of the folder ``root``.

    Raises:
        ArtifactError: the file cannot be read, or holds no JSON.
    """
    try:
        return json.loads(_text(root / name, name))
    except OSError as error:
        msg = f"{name} cannot be read: {error.strerror}."
        raise ArtifactError(msg, _AGAIN) from error
    except RecursionError as error:
        msg = f"{name} nests too deeply to be a model's file."
        raise ArtifactError(msg, _AGAIN) from error
    except ValueError as error:
        msg = f"{name} is not valid JSON ({error})."
        raise ArtifactError(msg, _AGAIN) from error


def _text(path: Path, name: str) -> str:
    """The text of a file that is small enough to be parsed.

    Raises:
        ArtifactError: there is nothing in it.
    """
    is_tokenizer = PurePosixPath(name).name.startswith("tokenizer")
    limit = _LARGEST_TOKENIZER if is_tokenizer else _LARGEST_JSON
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > limit:
            msg = "longer than any model's"
            raise ValueError(msg)
        data = file.read()
    refuse_hollow(name, data)
    if data.startswith(BOM_UTF8):
        msg = "it begins with a byte order mark, which transformers does not take either"
        raise ValueError(msg)
    require_narrow(data)
    return data.decode("utf-8")
