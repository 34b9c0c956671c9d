"""The lock file: which commit and which files of each model a team has adopted.

A model of the Hub is listed as it is asked for: ``org/name`` where no revision is, or
``org/name@v2``.  To change the revision in the configuration is therefore to ask for a model that
is not locked yet.  The commit is not part of the name: it is what the lock holds.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from pydantic import Field, StringConstraints

from plmscan.config.files import seen_from_here
from plmscan.config.names import key_of, split_key
from plmscan.config.written import Written, read_written, write_json
from plmscan.errors import LockError
from plmscan.source import is_address, is_folder, looks_like_path, split_revision
from plmscan.source.signers import with_files
from plmscan.survey import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plmscan.evidence import ModelIdentity
    from plmscan.source import Artifact

__all__ = [
    "LOCK_NAME",
    "SCHEMA",
    "Lock",
    "LockedModel",
    "pinned",
    "read_lock",
    "signer_from_here",
    "write_lock",
]

SCHEMA = "plmscan.lock/v1"
"""Name and version of the format."""
LOCK_NAME = "plmscan.lock"
"""The file's name where the configuration says no other."""
_NO_TEXT = re.compile("[\ud800-\udfff]")
"""Bytes of a file name that are no text, as Python has them."""
_AGAIN = "Write it anew with `plmscan lock`."


@dataclass(frozen=True)
class LockedModel:
    """One model of a lock file."""

    revision: str | None
    """Commit SHA of a Hub model; None for a folder."""
    files: Mapping[str, str]
    """SHA-256 by path of every file that was read."""
    signers: tuple[str, ...] = ()
    """Who may have signed it, as `plmscan.source.signers.signer` reads it, seen from here."""
    place: Place | None = field(default=None, compare=False)
    """Where the lock file names it; None before it is written."""

    @classmethod
    def of(cls, model: Artifact | ModelIdentity, signers: tuple[str, ...] = ()) -> LockedModel:
        """The commit and the files of ``model``, which ``signers`` may have signed."""
        return cls(model.revision, {file.path: file.sha256 for file in model.files}, signers)


@dataclass(frozen=True)
class Lock:
    """What a lock file holds."""

    path: Path
    """The file."""
    models: Mapping[str, LockedModel]
    """By name: see `plmscan.config.names.key_of`."""

    @classmethod
    def of(
        cls, path: Path, models: Iterable[tuple[str, str | None, Artifact | ModelIdentity]]
    ) -> Lock:
        """A lock for the file ``path`` of ``models``: what was asked for, and what it is."""
        return cls(path, {}).with_models(models)

    def with_models(
        self,
        models: Iterable[tuple[str, str | None, Artifact | ModelIdentity]],
        signers: tuple[str, ...] = (),
    ) -> Lock:
        """The same lock with ``models`` added or replaced: source, asked revision, files.

        Any of them may have been signed by ``signers``.
        """
        new = {
            self._key(source, asked, model): LockedModel.of(model, signers)
            for source, asked, model in models
        }
        return Lock(self.path, {**self.models, **new})

    def with_signers_of(self, before: Lock) -> Lock:
        """The same lock; models without signers have those that ``before`` holds for them."""
        known = {name: one.signers for name, one in before.models.items()}
        models = {
            name: replace(one, signers=one.signers or known.get(name, ()))
            for name, one in self.models.items()
        }
        return Lock(self.path, models)

    def _key(self, source: str, asked: str | None, model: Artifact | ModelIdentity) -> str:
        """The name of ``model``; one of the Hub has no folder's, though there be such a folder."""
        if model.revision is None:
            return key_of(source, asked, self.path.parent)
        name, revision = split_revision(source, asked)
        return name if revision is None else f"{name}@{revision}"

    def entry(self, source: str, revision: str | None = None) -> LockedModel | None:
        """What is locked of ``source``, as the command line or the configuration names it.

        A Hub model is found under what is asked for; without a revision, also under the only
        revision that is locked; with a commit, under whatever name it is locked.

        Raises:
            LockError: no revision is asked for, and several are locked; or what was locked as a
                folder is now a Hub model, or the other way round.
            SourceError: ``source`` and ``revision`` contradict each other.
        """
        key = key_of(source, revision, self.path.parent)
        if key in self.models:
            return self.models[key]
        self._refuse_changed_kind(source, key)
        name, asked = split_key(key)
        keys = [k for k in self.models if split_key(k)[0] == name]
        if asked is not None:
            keys = [k for k in keys if self.models[k].revision == asked]
        elif len(keys) > 1:
            self._refuse(f"locks {' and '.join(sorted(keys))}.", f"Name the revision of {name}.")
        return self.models[keys[0]] if keys else None

    def _refuse_changed_kind(self, source: str, key: str) -> None:
        """Refuse a bare name that means another thing than when it was locked.

        A folder that is not there would be asked from the Hub, where anybody may have its name.
        """
        if is_address(source) or looks_like_path(source):
            return
        folder = is_folder(source)
        other = key.removeprefix("./") if folder else f"./{split_key(key)[0]}"
        if any(split_key(k)[0] == other for k in self.models):
            was, now = ("Hub model", "a folder") if folder else ("folder", "no folder")
            problem = f"locks {source} as a {was}, and here it is {now}."
            self._refuse(problem, "Write ./ before the name of a folder, or restore the folder.")

    def _refuse(self, problem: str, remedy: str) -> NoReturn:
        """Say what is wrong with what is asked."""
        msg = f"{seen_from_here(self.path).as_posix()} {problem}"
        raise LockError(msg, remedy)


def signer_from_here(text: str, folder: Path = Path()) -> str:
    """The signer ``text``, whose file is told as seen from ``folder``, as seen from here."""
    return with_files(text, lambda file: str(seen_from_here(folder / file)))


def pinned(source: str, revision: str | None, locked: LockedModel | None) -> tuple[str, str | None]:
    """Source and revision to resolve, so that a locked Hub model is the commit that was locked.

    Raises:
        SourceError: ``source`` and ``revision`` contradict each other.
    """
    if locked is None or locked.revision is None:
        return source, revision
    return split_revision(source, revision)[0], locked.revision


_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
_Name = Annotated[str, StringConstraints(min_length=1)]


class _ModelV1(Written):
    """One model as it is written."""

    revision: _Commit | None
    files: Annotated[dict[_Name, _Sha256], Field(min_length=1)]
    signers: list[_Name] = Field(default_factory=list)


class _LockV1(Written):
    """A lock file as it is written."""

    schema_: Annotated[Literal["plmscan.lock/v1"], Field(alias="schema")]
    models: dict[_Name, _ModelV1]


def write_lock(lock: Lock) -> None:
    """Write ``lock`` to its file; the same lock gives the same bytes.

    Raises:
        LockError: the file cannot be written, or not be read again.
    """
    for key in lock.models:
        if _NO_TEXT.search(key):
            msg = f"{key} is a name that is no UTF-8 text, so that no lock file can hold it."
            raise LockError(msg, "Rename the folder.")
    models = {key: _written(model, lock.path) for key, model in sorted(lock.models.items())}
    write_json(lock.path, {"schema": SCHEMA, "models": models}, LockError)


def _written(model: LockedModel, path: Path) -> dict[str, object]:
    """``model`` as the file ``path`` holds it; without signers it says nothing of them."""
    told = {"revision": model.revision, "files": dict(sorted(model.files.items()))}
    signers = [with_files(one, lambda file: _seen_from(path.parent, file)) for one in model.signers]
    return told | ({"signers": signers} if signers else {})


def _seen_from(folder: Path, file: str) -> str:
    """The way to ``file`` from ``folder``; one that is given whole and lies elsewhere stays so."""
    path = Path(file).expanduser()
    if path.is_absolute() and not path.is_relative_to(folder.absolute()):
        return path.as_posix()
    return Path(os.path.relpath(path, folder)).as_posix()


def read_lock(path: Path) -> Lock:
    """The lock that `write_lock` wrote.

    Raises:
        LockError: the file cannot be read, or is not such a lock.
    """
    document, lock = read_written(path, _LockV1, LockError, _AGAIN)
    for key, model in lock.models.items():
        # a Hub model without a commit would pin nothing, and a folder has none
        has_none = is_address(key) or looks_like_path(key)
        if has_none is not (model.revision is None):
            needs = "no revision, as a folder has none" if model.revision else "a revision"
            document.refuse(("models", key), f"{key} must have {needs}.", _AGAIN)
    shown = seen_from_here(path).as_posix()

    return Lock(
        path,
        {
            key: LockedModel(
                model.revision,
                model.files,
                tuple(signer_from_here(one, path.parent) for one in model.signers),
                Place(shown, _line(document.data, key)),
            )
            for key, model in lock.models.items()
        },
    )


def _line(text: str, key: str) -> int:
    """The line of ``text`` that names the model ``key``; 1 where a hand has broken the layout."""
    named = re.search(rf"^ *{re.escape(json.dumps(key))}: ?\{{", text, re.MULTILINE)
    return 1 if named is None else text.count("\n", 0, named.end()) + 1
