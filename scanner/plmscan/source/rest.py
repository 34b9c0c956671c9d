"""The files of a Hub repository that nothing loads: known by content, so that they cannot surprise.

A folder is read file by file; for a repository that would mean gigabytes that no scan needs.  So
small files are fetched, and of a large one as little as tells what it is: a part from its start,
one from its end, and of a pickle its program.  What could run and could not be read is named.
"""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from plmscan.kinds import (
    ARCHIVES,
    RUNTIMES,
    Kind,
    kind_by_name,
    kind_in,
    with_neighbours,
)
from plmscan.layout import Unread
from plmscan.runtimes import keras
from plmscan.source.commit import part_of
from plmscan.source.programs import program_of, without_numbers
from plmscan.source.ranges import RangeFile, Ranges, UnreadError
from plmscan.whole_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from plmscan.source.commit import Commit, Listed, Listing

__all__ = ["Rest", "look_at"]

_SMALL = 2**20
"""Files up to this size are fetched."""
_LARGEST_WHOLE = 2**25
"""The same for those that could run, where their program alone cannot be read."""
_MOST_SMALL = 500
_MOST_SMALL_BYTES = 2**26
_MOST_GLIMPSES = 500
_MOST_WHOLE_BYTES = 2**28
_THREADS = 8
_STUB = 4096
"""Bytes of a file that is named like a pickle and is none: enough to see that."""
_OBJECTS = b"O'"
"""Stands in the header of a NumPy file that holds a pickle."""
_CAN_RUN = ARCHIVES | {
    Kind.PICKLE, Kind.TORCHSCRIPT, Kind.PROGRAM, Kind.PYTHON, Kind.BYTECODE, Kind.SCRIPT,
    Kind.TEMPLATE, Kind.NEMO, Kind.SKOPS, Kind.KERAS, Kind.YAML,
}  # fmt: skip
_HARMLESS = frozenset({Kind.JSON, Kind.IMAGE, Kind.TEXT, Kind.EMPTY})
_IDENTITY = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_TOO_MANY = "plmscan looks into a limited number of files that nothing loads."
_KEPT = "plmscan"
"""The folder for parts of files, in the model's folder of the cache."""
_PROGRAM = "program-2"
"""The file in it with what could be a program; another number where something else is copied."""


@dataclass
class Rest:
    """What is known of the files that nothing loads."""

    fetched: dict[str, int] = field(default_factory=dict)
    """Size by path of those that are in the cache, whole."""
    kinds: dict[str, Kind] = field(default_factory=dict)
    """What the others hold, by path; what nobody could read, by its name."""
    programs: dict[str, Path] = field(default_factory=dict)
    """Copies of the programs of large pickles, by path."""
    unread: list[Unread] = field(default_factory=list)
    """Those that could run and were not read."""

    def leave(self, name: str, kind: Kind | None, why: str, remedy: str) -> None:
        """Name a file that was not read and could run."""
        self.kinds[name] = kind or kind_by_name(name)
        if kind is None:
            what = "It was not looked into, and files of any name can hold code."
        else:
            what = f"{kind}: it can run code where somebody opens it, and it was not read."
        self.unread.append(Unread(name, f"{what} {why} {remedy}"))


def look_at(
    commit: Commit, root: Path, listing: Listing, on_progress: Callable[[float, str], None]
) -> Rest:
    """Find out what the files ``listing`` of the commit hold.

    Raises:
        SourceError: the Hub does not deliver a small file.
    """
    rest = Rest()
    ordered = sorted(listing, key=lambda name: (kind_by_name(name) in _HARMLESS, name))
    small = [name for name in ordered if listing[name].size <= _SMALL]
    large = [name for name in ordered if listing[name].size > _SMALL]
    _fetch_small(
        commit, root, {n: listing[n].size for n in small}, rest, part_of(on_progress, 0, 0.5)
    )
    ranges = Ranges(commit.headers, silent=commit.local)

    def glimpse(name: str) -> _Glimpse:
        return _Large(commit, root, ranges, name, listing[name]).glimpse()

    with ThreadPoolExecutor(_THREADS) as pool:
        running = [pool.submit(glimpse, name) for name in large[:_MOST_GLIMPSES]]
        for number, _ in enumerate(as_completed(running), start=1):
            done = 0.5 + 0.3 * number / len(running)
            on_progress(done, f"looking into {len(running)} large files")
    glimpses = [each.result() for each in running]
    glimpses += [_Glimpse(name, problem=_TOO_MANY) for name in large[_MOST_GLIMPSES:]]
    glimpses = _beside_neighbours(listing, sorted(glimpses, key=lambda glimpse: glimpse.name))
    _judge(commit, root, listing, glimpses, rest, part_of(on_progress, 0.8, 1.0))
    return rest


def _fetch_small(
    commit: Commit,
    root: Path,
    sizes: Mapping[str, int],
    rest: Rest,
    on_progress: Callable[[float, str], None],
) -> None:
    """Fetch the first of the small files, and without network find them in the cache."""
    chosen: dict[str, int] = {}
    for name, size in sizes.items():
        room = len(chosen) < _MOST_SMALL and sum(chosen.values()) + size <= _MOST_SMALL_BYTES
        if room and _can_be_had(commit, root, name):
            chosen[name] = size
        elif kind_by_name(name) in _HARMLESS:
            rest.kinds[name] = kind_by_name(name)
        else:
            why = "The cache does not hold it." if commit.local else _TOO_MANY
            rest.leave(name, None, why, _remedy(commit))
    commit.fetch(chosen, on_progress)
    rest.fetched |= chosen


def _can_be_had(commit: Commit, root: Path, name: str) -> bool:
    """Whether the file can be fetched, or is in the cache already."""
    return not commit.local or (root / name).is_file()


def _remedy(commit: Commit) -> str:
    """What to do about a file that was not read."""
    if commit.local:
        return "Check the model once with the network."
    return "--all-files fetches and reads all files."


@dataclass(frozen=True)
class _Glimpse:
    """What little was read of a large file."""

    name: str
    """Its path."""
    kind: Kind | None = None
    """What it holds; None if it could not be read."""
    program: Path | None = None
    """A copy of what of it could be a program; None if it could be anywhere in it."""
    problem: str = ""
    """Why nothing was read, or no program, as a sentence."""


class _Large:
    """A large file, of which little is read."""

    def __init__(
        self, commit: Commit, root: Path, ranges: Ranges, name: str, listed: Listed
    ) -> None:
        """The file ``name`` of the commit: the one in the cache if it is there, else the Hub's."""
        self._name = name
        self._kept = commit.folder / _KEPT / _identity(commit, name, listed)
        self._local = root / name
        self._size = listed.size
        ask = partial(ranges.read, commit.url(name), size=listed.size)
        self._remote = RangeFile(listed.size, ask, self._kept)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The file, from its start."""
        if self._local.is_file() and self._local.stat().st_size == self._size:
            with self._local.open("rb") as file:
                yield file
            return
        self._remote.seek(0)
        yield cast("BinaryIO", self._remote)

    def glimpse(self) -> _Glimpse:
        """What the file holds, as far as a little tells."""
        kind = None
        try:
            with self._opened() as file:
                kind = kind_in(file, self._name)
                program = self._program(file, kind)
        except UnreadError as error:
            return _Glimpse(self._name, kind, problem=str(error))
        except OSError as error:
            return _Glimpse(self._name, kind, problem=_unusable(error))
        return _Glimpse(self._name, kind, program)

    def _program(self, file: BinaryIO, kind: Kind) -> Path | None:
        """A copy of what of the file could be a program, as `_program` finds it."""
        path = self._kept / _PROGRAM
        if not path.is_file():
            self._remote.keep_no_more()
            file.seek(0)
            program = _program(file, kind, self._name, self._size)
            if program is None:
                return None
            _store(program, path)
        return path


def _beside_neighbours(listing: Listing, glimpses: list[_Glimpse]) -> list[_Glimpse]:
    """The same, where the files beside one say that it only looks compressed."""
    found = {glimpse.name: glimpse.kind for glimpse in glimpses if glimpse.kind is not None}
    kinds = with_neighbours({name: found.get(name, kind_by_name(name)) for name in listing})
    return [
        replace(glimpse, kind=kinds[glimpse.name], problem="")
        if glimpse.kind is Kind.COMPRESSED and kinds[glimpse.name] in RUNTIMES
        else glimpse
        for glimpse in glimpses
    ]


def _unusable(error: OSError) -> str:
    """What is wrong with the cache."""
    return f"The cache cannot be used: {error.strerror}."


def _identity(commit: Commit, name: str, listed: Listed) -> str:
    """What names the content of the file in the cache."""
    if _IDENTITY.fullmatch(listed.identity):
        return listed.identity
    return hashlib.sha256(f"{commit.sha}/{name}".encode()).hexdigest()


def _program(file: BinaryIO, kind: Kind, name: str, size: int) -> bytes | None:
    """What of the file could be a program; None if nothing can.

    Raises:
        UnreadError: it could be anywhere in the file.
    """
    if kind in (Kind.PICKLE, Kind.ZIP, Kind.TORCHSCRIPT):
        return program_of(file)
    if kind is Kind.HDF5 and size <= keras.WHOLE and file.read(2) != b"PK":
        msg = "A file of its size is read whole, wherever it lies."
        raise UnreadError(msg)
    file.seek(0)
    if kind in (Kind.HDF5, Kind.ONNX, Kind.GGUF):
        return without_numbers(file, kind, size)
    start = file.read(_STUB)
    graph = kind is Kind.TENSORFLOW and kind_by_name(name) is kind
    if kind in _CAN_RUN or graph or (kind is Kind.NUMPY and _OBJECTS in start):
        msg = "It can only be read whole."
        raise UnreadError(msg)
    # Whoever unpickles it for its name finds none, and so does a probe that reads its start.
    return start if kind_by_name(name) in (Kind.PICKLE, Kind.ZIP) else None


def _store(program: bytes, path: Path) -> None:
    """Write ``program`` into the cache.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, program)


def _judge(
    commit: Commit,
    root: Path,
    listing: Listing,
    glimpses: list[_Glimpse],
    rest: Rest,
    on_progress: Callable[[float, str], None],
) -> None:
    """Say what each large file is, and fetch those of moderate size that could run."""
    whole: dict[str, int] = {}
    for glimpse in glimpses:
        name, size = glimpse.name, listing[glimpse.name].size
        rest.kinds[name] = glimpse.kind or kind_by_name(name)
        if glimpse.program is not None:
            rest.programs[name] = glimpse.program
        elif glimpse.problem:
            room = size <= _LARGEST_WHOLE and sum(whole.values()) + size <= _MOST_WHOLE_BYTES
            if room and _can_be_had(commit, root, name):
                whole[name] = size
            else:
                rest.leave(name, glimpse.kind, glimpse.problem, _remedy(commit))
    commit.fetch(whole, on_progress)
    for name in whole:
        del rest.kinds[name]
    rest.fetched |= whole
