"""Where copies of models stand: one folder a state of what is behind an address."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock
from huggingface_hub import constants

from plmscan.errors import HubUnreachableError, SourceError
from plmscan.source.room import is_plain, refuse_small_disk
from plmscan.whole_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plmscan.source.artifact import SourceOptions

__all__ = ["MOST_FILES", "Copy", "Entry", "Origin", "copied", "refuse_odd_names"]

MOST_FILES = 100_000
"""The largest models have some thousands."""
_DONE = "digests.json"
_FILES = "files"
_SHELF = "plmscan-copies"


@dataclass(frozen=True)
class Entry:
    """A file behind an address."""

    path: str
    """Inside the model, with forward slashes."""
    size: int
    """Bytes."""
    mark: str | None
    """What changes with its content, such as an entity tag; None if nobody tells."""


@dataclass(frozen=True)
class Copy:
    """A model on this disk."""

    root: Path
    """The folder that holds it."""
    digests: Mapping[str, str]
    """SHA-256 by path of every byte that came."""


class Origin(Protocol):
    """What is behind an address."""

    address: str
    """As it was typed."""

    def entries(self) -> list[Entry]:
        """The files that are there.

        Raises:
            SourceError: nobody tells, or there are none.
        """

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """What a file holds.

        Raises:
            SourceError: it cannot be read.
        """

    def arrange(self, folder: Path, digests: dict[str, str]) -> tuple[Path, dict[str, str]]:
        """The model among the files that were copied to ``folder``, and its digests.

        Raises:
            SourceError: they hold none.
        """


def copied(
    origin: Origin, options: SourceOptions, on_progress: Callable[[float, str], None]
) -> Copy:
    """The model of ``origin`` on this disk; copied unless the same one is there.

    Without the network it is the one that was copied last.

    Raises:
        SourceError: it cannot be had.
    """
    cache = options.cache_dir or Path(constants.HF_HUB_CACHE)
    home = cache / _SHELF / _short(origin.address)
    if options.offline or constants.is_offline_mode():
        return _last(home, origin.address)
    entries = sorted(origin.entries(), key=lambda entry: entry.path)
    refuse_odd_names([entry.path for entry in entries], origin.address)
    state = _short(json.dumps([[e.path, e.size, e.mark] for e in entries]))
    is_known = all(entry.mark is not None for entry in entries)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock"):
            kept = home / state
            if is_known and (kept / _DONE).is_file():
                return _read(kept)
            return _filled(kept, origin, entries, on_progress)
    except OSError as error:
        msg = f"{error.filename or home} cannot be used: {error.strerror}."
        raise SourceError(msg, "Check it, or name another cache with --cache-dir.") from error


def refuse_odd_names(names: list[str], address: str) -> None:
    """Refuse names that no folder can hold, or that would lie outside of it.

    Raises:
        SourceError: there is one, or there are too many.
    """
    if len(names) > MOST_FILES:
        msg = f"{address} holds more than {MOST_FILES} files."
        raise SourceError(msg, "Name the folder of one model.")
    found, seen = set(names), set()
    for name in names:
        parents = (parent.as_posix() for parent in Path(name).parents)
        if not is_plain(name) or name.casefold() in seen or not found.isdisjoint(parents):
            msg = f"{address} holds the file {name[:80]!a}, which no folder can hold."
            raise SourceError(msg, "Whoever made it may want to write elsewhere; do not unpack it.")
        seen.add(name.casefold())


def _filled(
    kept: Path, origin: Origin, entries: list[Entry], on_progress: Callable[[float, str], None]
) -> Copy:
    """Copy everything, and take the copy for whole only then."""
    total = sum(entry.size for entry in entries)
    refuse_small_disk(kept, total)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=kept.parent))
    try:
        digests, done = {}, 0
        for entry in entries:
            note = f"copying {len(entries)} files, {total / 1e6:.1f} MB"
            digests[entry.path] = _write(origin, entry, part / _FILES / entry.path)
            done += entry.size
            on_progress(done / (total or 1), note)
        root, digests = origin.arrange(part / _FILES, digests)
        told = {"root": root.relative_to(part).as_posix(), "digests": digests}
        replace_file(part / _DONE, json.dumps(told))
        shutil.rmtree(kept, ignore_errors=True)
        part.rename(kept)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _read(kept)


def _write(origin: Origin, entry: Entry, target: Path) -> str:
    """Copy one file; its SHA-256.

    Raises:
        SourceError: it is not as long as it was said to be.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        for chunk in origin.chunks(entry):
            size += len(chunk)
            if size > entry.size:
                break
            sha256.update(chunk)
            file.write(chunk)
    if size != entry.size:
        msg = f"{entry.path} of {origin.address} is not the {entry.size} bytes that were listed."
        raise SourceError(msg, "It may be changing; try again.")
    return sha256.hexdigest()


def _read(kept: Path) -> Copy:
    """The copy that stands in ``kept``.

    Raises:
        SourceError: it is broken.
    """
    try:
        told = json.loads((kept / _DONE).read_text(encoding="utf-8"))
        return Copy(kept / told["root"], dict(told["digests"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"The copy in {kept} is broken."
        raise SourceError(msg, "Delete it and run again.") from error


def _last(home: Path, address: str) -> Copy:
    """The copy that was made last.

    Raises:
        HubUnreachableError: there is none.
    """
    whole = sorted(home.glob(f"*/{_DONE}"), key=lambda file: file.stat().st_mtime)
    if not whole:
        msg = f"There is no copy of {address}, and plmscan is offline."
        raise HubUnreachableError(msg, "Copy it once with the network.")
    return _read(whole[-1].parent)


def _short(text: str) -> str:
    """A name for ``text``."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
