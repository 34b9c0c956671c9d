"""What pickles there are in a file, whatever it is called and whatever they are wrapped in."""

from __future__ import annotations

import ast
import io
import re
import struct
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

from plmscan.errors import in_one_line
from plmscan.kinds import is_lzma, is_tar
from plmscan.pickles.names import Use
from plmscan.pickles.skops import LARGEST_SCHEMA, SCHEMA, types_in
from plmscan.pickles.steps import Follower
from plmscan.pickles.streams import (
    Allowance,
    BoundError,
    BrokenError,
    CutError,
    MissingLibraryError,
    Stream,
    Window,
    joined,
    unpack,
)
from plmscan.pickles.values import Found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from plmscan.pickles.names import Global

__all__ = ["Reader", "Reading", "read"]

_DEEPEST = 6
"""Archives in archives in archives; honest files have two or three."""
_HEAD = 512
_PREFIX = 2**16
_LARGEST_DIRECTORY = 2**23
_LARGEST_SEVEN_ZIP = 2**26
"""Bytes that a 7z archive may unpack to, which all are in memory at once."""
_NESTED_COST = 500
"""Steps of a pickle that looking into a constant is worth."""
_IN_MEMORY = 2**25
_LARGEST_TAR_HEADER = 2**22
_LARGEST_HEADER = 2**16
_TAIL = 2**16 + 22
_LOCAL_HEADER = 30
_STRETCH = 2**20
_MEMBER = b"PK\3\4"
"""How the header of a member of a zip archive begins."""
_PICKLE_ENDINGS = (".pkl", ".pickle", ".joblib")
_METHODS = {8: "deflate", 12: "bzip2"}
_LZMA = 14
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_LIBRARY_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
)
"""What the readers of archives raise for broken ones."""
_MOST_TRAILING = 1_000
"""Pickles one after another in one file."""


@dataclass(frozen=True)
class Reading:
    """What the pickles of one file import and do, and what of it could not be read."""

    uses: dict[Global, Use]
    """What is done with each name."""
    acts: tuple[str, ...]
    """Things that no honest pickle does, as words that stand where a name could."""
    problems: tuple[str, ...]
    """Why parts of it were not read to their end, each as the end of a sentence."""
    pickles: int
    """How many pickles there are."""
    archives: int
    """How many archives and compressed files there are, the file itself among them."""


def read(path: Path, *, is_named_pickle: bool, allowance: Allowance | None = None) -> Reading:
    """Follow every pickle in the file at ``path``; never raises for what the file holds.

    Args:
        path: the file.
        is_named_pickle: whether loaders unpickle it for its name.
        allowance: how much work it may cause; the usual amount where none is given.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        reader = Reader(allowance or Allowance.of_model().share())
        reader.read(Window(file, 0, size).stream(), "", is_named_pickle=is_named_pickle)
    if not reader.found.is_complete:
        reader.problems.append("its pickles use more names than plmscan keeps")
    return Reading(
        uses=reader.found.uses,
        acts=tuple(reader.found.acts),
        problems=tuple(dict.fromkeys(reader.problems)),
        pickles=reader.pickles,
        archives=reader.archives,
    )


_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"]\0": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"x\x01": "zlib",
    b"x^": "zlib",
    b"x\x9c": "zlib",
    b"x\xda": "zlib",
    b"ZF0x": "joblib-zlib",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x93NUMPY": "npy",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"Rar!\x1a\x07": "RAR",
    b"\x1f\x9d": "compress",
    b"LZIP": "lzip",
}
"""Formats by their first bytes."""
_NO_LIBRARY = frozenset({"Zstandard", "RAR", "compress", "lzip"})


def _form(head: bytes) -> str | None:
    """The format of what starts with ``head``; None if it is none of those that hold others."""
    for magic, form in _MAGIC.items():
        if head.startswith(magic):
            return form
    if is_lzma(head):
        return "xz"
    return "tar" if is_tar(head) else None


class Reader:
    """The pickles of one file, and of all that lies in it."""

    def __init__(self, allowance: Allowance, depth: int = 0) -> None:
        """Nothing was read yet; ``depth`` archives and pickles lie around it."""
        self.found = Found()
        self.problems: list[str] = []
        self.pickles = 0
        self.archives = 0
        self.allowance = allowance
        self._depth = depth
        self._saw_packed_arrays = False

    def read(self, stream: Stream, place: str, *, is_named_pickle: bool = False) -> None:
        """Read what ``stream`` holds, which lies at ``place`` in the file."""
        try:
            self._read(stream, place, is_named_pickle=is_named_pickle)
        except (BrokenError, BoundError, MissingLibraryError) as error:
            self._complain(place, error)
        except _LIBRARY_ERRORS as error:
            self._complain(place, error)

    def _complain(self, place: str, error: Exception) -> None:
        """Something was not read."""
        cut = isinstance(error, CutError) or not str(error).strip()
        words = "it breaks off" if cut else in_one_line(error, 160)
        self.problems.append(f"{place[:80]}: {words}" if place else words)

    def _read(self, stream: Stream, place: str, *, is_named_pickle: bool) -> None:
        """The same, with what goes wrong."""
        head = stream.peek(_HEAD)
        form = _form(head)
        window = stream.window
        if form is None and window is not None and _ends_like_zip(window):
            form = "zip"
        if form is None:
            self.take(stream, place, is_named_pickle=is_named_pickle)
            return
        # Loaders that know no archives take the same bytes for a pickle.
        self.take_whole(stream, place)
        with self._one_deeper():
            self._archive(form, stream, place)

    def take_whole(self, stream: Stream, place: str) -> None:
        """Follow the pickles that an archive or a compressed file starts with."""
        window = stream.window
        whole = _in_memory(stream.peek(_PREFIX)) if window is None else window.stream()
        self.take(whole, place, is_named_pickle=False)

    @contextmanager
    def _one_deeper(self) -> Iterator[None]:
        """Inside of an archive, or of a constant."""
        if self._depth >= _DEEPEST:
            msg = "archives lie in it deeper than plmscan reads"
            raise BoundError(msg)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    # Pickles ------------------------------------------------------------------------------------

    def take(self, stream: Stream, place: str, *, is_named_pickle: bool) -> None:
        """Follow the pickles that ``stream`` starts with, one after another."""
        for number in range(_MOST_TRAILING):
            start = stream.position
            machine, problem = self._follow(stream, is_named_pickle=is_named_pickle)
            # What joblib passes over as an array, pickle itself takes for instructions.
            if machine.saw_arrays and stream.window is not None:
                again = stream.window.part(start, stream.window.size).stream()
                self._follow(again, has_arrays=False)
            self._saw_packed_arrays = machine.saw_arrays and stream.window is None
            if problem is not None and (number == 0 or machine.found.uses):
                self._complain(place, problem)
            if not machine.is_over or not stream.peek(1):
                return
        msg = "more pickles follow each other in it than plmscan follows"
        raise BoundError(msg)

    def _follow(
        self, stream: Stream, *, is_named_pickle: bool = False, has_arrays: bool = True
    ) -> tuple[Follower, BrokenError | None]:
        """Follow what may be a pickle, and what stopped it if it is one."""
        problem: BrokenError | None = None
        machine = Follower(stream, self.allowance, Found(), self._nested, has_arrays=has_arrays)
        try:
            machine.run()
        except BrokenError as error:
            problem = error
        except BoundError:
            self.found.add(machine.found)
            raise
        if not _is_pickle(machine, is_named_pickle=is_named_pickle):
            return machine, None
        self.pickles += has_arrays
        self.found.add(machine.found)
        return machine, problem

    def _nested(self, stream: Stream) -> bool:
        """Read bytes inside of a pickle; whether there is a pickle in them, and nothing else."""
        self.allowance.step(_NESTED_COST)
        with self._one_deeper():
            inner = Reader(self.allowance, self._depth)
            inner.read(stream, "a value inside of it")
        self.found.add(inner.found)
        if inner.found.has_calls or inner.pickles:
            self.problems += inner.problems
        return bool(inner.pickles) and not inner.problems

    # Archives -----------------------------------------------------------------------------------

    def _archive(self, form: str, stream: Stream, place: str) -> None:
        """Read what an archive or a compressed file holds."""
        self.archives += 1
        if form in _NO_LIBRARY:
            msg = f"it is compressed with {form}, which plmscan does not read"
            raise MissingLibraryError(msg)
        if form == "npy":
            self._array(stream, place)
        elif form == "tar":
            self._tar(stream, place)
        elif form == "zip":
            with _random_access(stream, self.allowance) as window:
                self._zip(window, place)
        elif form == "7z":
            with _random_access(stream, self.allowance) as window:
                self._seven_zip(window, place)
        else:
            if form == "joblib-zlib":
                stream.skip(len("ZF") + len(hex(2**64)))
            self._compressed(stream, form.removeprefix("joblib-"), place)

    def _compressed(self, stream: Stream, form: str, place: str) -> None:
        """Read what comes out of a compressed file, if it is one."""
        start = stream.position
        inner = unpack(stream, form, self.allowance)
        try:
            inner.peek(1)
        except BrokenError:
            if form in {"zlib", "xz"}:
                return  # Two or three bytes are no proof: it only looked compressed.
            raise
        self.read(inner, place)
        if not self._saw_packed_arrays:
            return
        self._saw_packed_arrays = False
        if stream.window is None:
            msg = "it is compressed more than once, as joblib compresses nothing"
            raise BrokenError(msg)
        again = stream.window.part(start, stream.window.size).stream()
        self._follow(unpack(again, form, self.allowance), has_arrays=False)

    def _array(self, stream: Stream, place: str) -> None:
        """Read the pickle behind the header of a numpy file, if it holds objects."""
        version = stream.take(8)[6]
        size = int.from_bytes(stream.take(2 if version == 1 else 4), "little")
        header = stream.take(size)
        if _holds_objects(header):
            before = self.pickles
            self.take(stream, place, is_named_pickle=True)
            if self.pickles == before:
                msg = "it holds objects, and their pickle was not found"
                raise BrokenError(msg)

    def _tar(self, stream: Stream, place: str) -> None:
        """Read the members of a tar archive."""
        file = _Forward(stream, _LARGEST_TAR_HEADER)
        archive = tarfile.TarFile(fileobj=file)  # type: ignore[arg-type]
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined] # it would keep them all
            self.allowance.enter()
            if member.isreg() and member.size:
                file.seek(member.offset_data)
                self.read(stream.part(member.size), _inside(place, member.name))
        archive.close()

    def _zip(self, window: Window, place: str) -> None:
        """Read the members of a zip archive, and what looks like members between them."""
        listed = window.part(0, window.size)
        listed.largest_read = _LARGEST_DIRECTORY
        try:
            archive = zipfile.ZipFile(listed)
        except zipfile.BadZipFile as error:
            if not window.part(0, 4).read().startswith(b"PK"):
                return  # Four bytes near the end are no proof: it only looked like an archive.
            msg = "its zip archive is broken"
            raise BrokenError(msg) from error
        ends = []
        for member in archive.infolist():
            self.allowance.enter()
            inside = _inside(place, member.filename)
            try:
                data, end = _member(window, member, self.allowance)
                ends.append((member.header_offset, end))
                self._zip_member(data, inside, is_locked=bool(member.flag_bits & 1))
            except (BrokenError, BoundError, MissingLibraryError) as error:
                self._complain(inside, error)
        for start in _hidden_members(window, ends, archive.start_dir):
            self.allowance.enter()
            self._hidden(window, start, _inside(place, "a member that is not listed"))

    def _hidden(self, window: Window, start: int, place: str) -> None:
        """Read a member that is not listed, if it is one."""
        try:
            method = int.from_bytes(window.part(start + 8, 2).read(), "little")
            packed = window.part(_data_start(window, start), window.size)
            # Only from front to back: what follows it is no part of it.
            data = Stream(_unpacked_member(packed, method, self.allowance).read)
            data.peek(1)
        except BrokenError:
            return  # Its four first bytes lie in other data.
        self.read(data, place)

    def _zip_member(self, data: Stream, place: str, *, is_locked: bool) -> None:
        """Read a member, whose flags decide nothing: some loaders ignore them."""
        pickles, problems = self.pickles, len(self.problems)
        if PurePosixPath(place).name == SCHEMA:
            self._schema(data)
        is_named = place.lower().endswith(_PICKLE_ENDINGS)
        self.read(data, place, is_named_pickle=is_named)
        if self.pickles > pickles:
            return
        if is_locked:
            del self.problems[problems:]
            msg = "it is locked with a password"
            raise BrokenError(msg)
        if is_named and len(self.problems) == problems:
            msg = "it is named like a pickle and holds none"
            raise BrokenError(msg)

    def _schema(self, data: Stream) -> None:
        """Take note of what the schema of a skops archive names, if it is one."""
        named = types_in(data.peek(LARGEST_SCHEMA + 1))
        if named is None:
            return
        self.pickles += 1
        for item in named:
            self.found.use(item, Use.BUILD)

    def _seven_zip(self, window: Window, place: str) -> None:
        """Read the members of a 7z archive."""
        try:
            py7zr, writers = import_module("py7zr"), import_module("py7zr.io")
        except ImportError as error:
            msg = "7z needs a library that is not installed: pip install 'plmscan[archives]'"
            raise MissingLibraryError(msg) from error
        try:
            with py7zr.SevenZipFile(window) as archive:
                size = sum(member.uncompressed or 0 for member in archive.list())
                self.allowance.unpack(size if size <= _LARGEST_SEVEN_ZIP else 2**62)
                kept = writers.BytesIOFactory(_LARGEST_SEVEN_ZIP)
                archive.extractall(factory=kept)  # noqa: S202 - into memory, within a bound
        except BoundError:
            raise
        except Exception as error:  # py7zr raises what its readers raise
            msg = f"its 7z archive cannot be read ({type(error).__name__})"
            raise BrokenError(msg) from error
        for name, product in kept.products.items():
            self.allowance.enter()
            product.seek(0)
            size = product.size()
            self.read(Window(product, 0, size).stream(), _inside(place, name))


def _in_memory(data: bytes) -> Stream:
    """``data`` as a stream."""
    return Window(io.BytesIO(data), 0, len(data)).stream()


def _inside(place: str, name: str) -> str:
    """Where the member ``name`` of an archive lies."""
    return f"{place}:{name}" if place else name


def _is_pickle(machine: Follower, *, is_named_pickle: bool) -> bool:
    """Whether what was followed is a pickle, and no text or numbers that look like one."""
    found = machine.found
    is_declared = machine.has_protocol or is_named_pickle
    # Raw numbers can begin like an extension, also behind what could be a protocol: without a name
    # and without an end that is no act.
    if found.has_calls and (is_named_pickle or found.uses or machine.is_over):
        return True
    if is_declared:
        return machine.is_over or bool(found.uses) or (machine.has_protocol and is_named_pickle)
    # Without any declaration, a list of words can look like names and an end.
    return machine.is_over and any(_MODULE.fullmatch(item.module) for item in found.uses)


def _holds_objects(header: bytes) -> bool:
    """Whether the header of a numpy file is that of an array of objects, or cannot be read."""
    if len(header) > _LARGEST_HEADER:
        return True
    try:
        with catch_warnings():
            simplefilter("ignore")  # Python has a say about escapes that mean nothing
            described = ast.literal_eval(header.decode("latin-1").strip())
        return _names_objects(described["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        return True


def _names_objects(described: object) -> bool:
    """Whether the type that is described holds objects."""
    if isinstance(described, str):
        return "o" in described.lower()
    if isinstance(described, tuple):
        return not described or _names_objects(described[0])
    if isinstance(described, list):
        return any(_names_objects(field[1]) for field in described)
    return True


class _Forward:
    """A stream with the manners of a file that `tarfile` needs."""

    def __init__(self, stream: Stream, limit: int) -> None:
        """Reads of ``limit`` bytes and fewer are allowed."""
        self._stream = stream
        self._limit = limit

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes.

        Raises:
            BoundError: they are too many.
        """
        if size > self._limit:
            msg = "a header of its archive is larger than plmscan reads"
            raise BoundError(msg)
        parts = []
        while size and (data := self._stream.read(size)):
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def tell(self) -> int:
        """How many bytes were read or passed over."""
        return self._stream.position

    def seek(self, place: int) -> None:
        """Go forward.

        Raises:
            BrokenError: that would be backwards.
        """
        if place < self._stream.position:
            msg = "its archive is broken"
            raise BrokenError(msg)
        self._stream.skip(place - self._stream.position)


def _ends_like_zip(window: Window) -> bool:
    """Whether the record that ends zip archives is near the end, where loaders look for it."""
    tail = window.part(window.size - _TAIL, _TAIL).read()
    return b"PK\5\6" in tail


@contextmanager
def _random_access(stream: Stream, allowance: Allowance) -> Iterator[Window]:
    """The bytes of ``stream`` in any order; they are copied where they came out of an archive."""
    if stream.window is not None:
        yield stream.window.part(0, stream.window.size)
        return
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as copy:
        while data := stream.read(_PREFIX):
            allowance.unpack(len(data))
            copy.write(data)
        yield Window(copy, 0, copy.tell())


def _member(window: Window, member: zipfile.ZipInfo, allowance: Allowance) -> tuple[Stream, int]:
    """What a member of a zip archive holds, and where it ends; its flags decide nothing."""
    start = _data_start(window, member.header_offset)
    size = max(member.compress_size, member.file_size)
    packed = window.part(start, size if member.compress_type == 0 else window.size)
    end = start + member.compress_size
    return _unpacked_member(packed, member.compress_type, allowance), end


def _data_start(window: Window, offset: int) -> int:
    """Where the data of the member begins whose own header lies at ``offset``."""
    header = window.part(offset, _LOCAL_HEADER).read()
    if len(header) < _LOCAL_HEADER or not header.startswith(_MEMBER):
        msg = "its place in the archive is wrong"
        raise BrokenError(msg)
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return offset + _LOCAL_HEADER + names


def _unpacked_member(packed: Window, method: int, allowance: Allowance) -> Stream:
    """What a stretch of a zip archive holds that is compressed in the numbered way."""
    if method == 0:
        return packed.stream()
    if method in _METHODS:
        return unpack(packed.stream(), _METHODS[method], allowance)
    if method == _LZMA:
        return unpack(_with_lzma_header(packed.stream()), "xz", allowance)
    msg = f"it is compressed in a way that plmscan does not read (method {method})"
    raise BrokenError(msg)


def _with_lzma_header(packed: Stream) -> Stream:
    """LZMA data of a zip archive as it would be in a file of its own: of unknown length."""
    size = int.from_bytes(packed.take(4)[2:], "little")
    return joined(packed.take(size) + b"\xff" * 8, packed)


def _hidden_members(window: Window, known: list[tuple[int, int]], end: int) -> Iterator[int]:
    """Where members begin that are in a zip archive and not in its list."""
    at = 0
    for start, stop in [*sorted(known), (end, end)]:
        if start - at >= _LOCAL_HEADER:
            yield from _headers(window, at, start)
        at = max(at, stop)


def _headers(window: Window, start: int, stop: int) -> Iterator[int]:
    """Where headers of members begin between two places."""
    for at in range(start, stop, _STRETCH):
        stretch = window.part(at, min(_STRETCH + 3, stop - at)).read()
        place = stretch.find(_MEMBER)
        while place >= 0:
            yield at + place
            place = stretch.find(_MEMBER, place + 4)
