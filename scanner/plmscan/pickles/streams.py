"""Bytes that are read once, from front to back, and never more of them than an allowance grants."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from plmscan.errors import in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

__all__ = [
    "Allowance",
    "BoundError",
    "BrokenError",
    "CutError",
    "Decompressor",
    "MissingLibraryError",
    "Stream",
    "Window",
    "decompressor",
    "joined",
    "unpack",
]

_CHUNK = 2**16
_PIECE = 2**12
_GZIP_TRAILER = 8
_LARGEST_READ = 2**24
"""Bytes that one value may have to be read as a whole; longer ones are passed over."""
_LONGEST_LINE = 2**24
_LZMA_MEMORY = 2**27


class BrokenError(Exception):
    """The bytes do not follow the format; loaders stop here as well."""


class CutError(BrokenError):
    """The bytes end too early."""


class BoundError(Exception):
    """Reading on would take more time or memory than is allowed."""


class MissingLibraryError(Exception):
    """A format needs a library that is not installed."""


class Allowance:
    """How much work may still be caused; the same files always cause the same."""

    def __init__(self, opcodes: int, unpacked: int, members: int) -> None:
        """Allow so many steps of pickles, decompressed bytes, and members of archives."""
        self.opcodes = opcodes
        self.unpacked = unpacked
        self.members = members
        self._whole: Allowance | None = None

    @classmethod
    def of_model(cls) -> Allowance:
        """What all files of a model together may cause."""
        return cls(opcodes=8_000_000, unpacked=2**29, members=100_000)

    def share(self) -> Allowance:
        """What the next file may cause, which is a little even where nothing is left.

        A file that uses up everything must not hide what the next one holds.
        """
        file = Allowance(
            opcodes=min(4_000_000, max(self.opcodes, 50_000)),
            unpacked=min(2**28, max(self.unpacked, 2**22)),
            members=min(20_000, max(self.members, 200)),
        )
        file._whole = self
        return file

    def unpack(self, size: int) -> None:
        """Take note of ``size`` bytes that were decompressed or copied.

        Raises:
            BoundError: they were too many.
        """
        self.unpacked -= size
        if self._whole is not None:
            self._whole.unpacked -= size
        if self.unpacked < 0:
            msg = "it unpacks to more than plmscan unpacks of one file"
            raise BoundError(msg)

    def step(self, opcodes: int) -> None:
        """Take note of ``opcodes`` steps of a pickle.

        Raises:
            BoundError: they were too many.
        """
        self.opcodes -= opcodes
        if self._whole is not None:
            self._whole.opcodes -= opcodes
        if self.opcodes <= 0:
            msg = "its pickles have more steps than plmscan follows in one file"
            raise BoundError(msg)

    def enter(self) -> None:
        """Take note of a member of an archive.

        Raises:
            BoundError: there were too many.
        """
        self.members -= 1
        if self._whole is not None:
            self._whole.members -= 1
        if self.members < 0:
            msg = "its archives have more members than plmscan reads in one file"
            raise BoundError(msg)


class Window(io.RawIOBase):
    """A stretch of a file that can be read in any order, as if it were a file of its own."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        """The ``size`` bytes of ``file`` from ``start`` on."""
        super().__init__()
        self._file = file
        self._start = start
        self.size = size
        self.largest_read: int | None = None
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """How many bytes lie before the next one."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which may lie behind the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next ``size`` bytes, or what is left of them.

        Raises:
            BoundError: they are more than `largest_read`.
        """
        left = max(0, self.size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if self.largest_read is not None and wanted > self.largest_read:
            msg = "its archive lists more members than plmscan reads"
            raise BoundError(msg)
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        self._at += len(data)
        return data

    def part(self, start: int, size: int) -> Window:
        """A stretch of this stretch."""
        start = min(max(start, 0), self.size)
        return Window(self._file, self._start + start, min(max(size, 0), self.size - start))

    def stream(self) -> Stream:
        """The same bytes from front to back."""
        whole = Window(self._file, self._start, self.size)
        return Stream(whole.read, whole)


class Stream:
    """Bytes from front to back, with a look ahead."""

    def __init__(self, source: Callable[[int], bytes], window: Window | None = None) -> None:
        """What ``source`` gives, which is asked for a number of bytes and may give fewer.

        ``window`` holds the same bytes, where they can also be read in another order.
        """
        self._source = source
        self.window = window
        self._buffer = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        """How many bytes were read or passed over."""
        return self._before + self._at

    def _fill(self, size: int) -> int:
        """Have ``size`` bytes ahead, or as many as there are; how many there are."""
        have = len(self._buffer) - self._at
        if have < size:
            parts = [self._buffer[self._at :]]
            try:
                while have < size and (more := self._source(max(_CHUNK, size - have))):
                    parts.append(more)
                    have += len(more)
            except BrokenError as error:
                # A loader uses what comes before the damage.
                if len(parts) == 1:
                    raise
                self._source = partial(_raise, error)
            self._before += self._at
            self._buffer, self._at = b"".join(parts), 0
        return have

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, or as many as there are, which stay ahead."""
        self._fill(size)
        return self._buffer[self._at : self._at + size]

    def byte(self) -> int:
        """The next byte.

        Raises:
            CutError: there is none.
        """
        at = self._at
        if at >= len(self._buffer):
            if not self._fill(1):
                raise CutError
            at = self._at
        self._at = at + 1
        return self._buffer[at]

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes.

        Raises:
            CutError: there are fewer.
            BoundError: they are too many to be held at once.
        """
        if size > _LARGEST_READ:
            msg = "one of its values is larger than plmscan reads as a whole"
            raise BoundError(msg)
        at, end = self._at, self._at + size
        if end > len(self._buffer):
            if self._fill(size) < size:
                raise CutError
            at, end = self._at, self._at + size
        self._at = end
        return self._buffer[at:end]

    def line(self) -> bytes:
        """The bytes up to the next line feed, which is passed over.

        Where the file ends without one, the last byte is passed over instead: so does the
        unpickler that is written in Python, which joblib uses, and goes on.

        Raises:
            CutError: nothing is left.
            BoundError: the line is too long to be held at once.
        """
        size = 128
        while True:
            have = self._fill(size)
            end = self._buffer.find(b"\n", self._at, self._at + size)
            if end >= 0:
                line = self._buffer[self._at : end]
                self._at = end + 1
                return line
            if have < size:
                if not have:
                    raise CutError
                return self.take(have)[:-1]
            if size > _LONGEST_LINE:
                msg = "one of its lines is longer than plmscan reads"
                raise BoundError(msg)
            size *= 4

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes.

        Raises:
            CutError: there are fewer.
        """
        ahead = min(size, len(self._buffer) - self._at)
        self._at += ahead
        size -= ahead
        if size and self.window is not None:
            place = self.position + size
            if place > self.window.size:
                raise CutError
            self.window.seek(place)
            self._buffer, self._at, self._before = b"", 0, place
            return
        while size:
            ahead = min(size, self._fill(min(size, _CHUNK)))
            if not ahead:
                raise CutError
            self._at += ahead
            size -= ahead

    def part(self, size: int) -> Stream:
        """The next ``size`` bytes as a stream of their own, which is read from this one."""
        if self.window is not None:
            return self.window.part(self.position, size).stream()
        left = size

        def source(wanted: int) -> bytes:
            nonlocal left
            ahead = min(wanted, left, self._fill(min(wanted, left, _CHUNK)))
            data = self._buffer[self._at : self._at + ahead]
            self._at += ahead
            left -= ahead
            return data

        return Stream(source)

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, as a file gives them."""
        ahead = min(size, self._fill(min(size, _CHUNK)))
        data = self._buffer[self._at : self._at + ahead]
        self._at += ahead
        return data


def _raise(error: BrokenError, _size: int) -> bytes:
    """Say again that the bytes are damaged."""
    raise error


class Decompressor(Protocol):
    """What the decompressors of the standard library and of lz4 share."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed data was reached."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether more compressed data is needed before it gives more."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What came after the end."""
        ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes:
        """Up to ``max_length`` bytes."""
        ...


class _Inflater:
    """zlib's decompressor, with the manners of the others."""

    def __init__(self, bits: int) -> None:
        """For the format that ``bits`` names."""
        self._inner = zlib.decompressobj(bits)
        self._needs_input = True

    @property
    def needs_input(self) -> bool:
        """Whether more compressed data is needed before it gives more."""
        return self._needs_input

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed data was reached."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What came after the end."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Up to ``max_length`` bytes."""
        made = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._needs_input = not self._inner.unconsumed_tail and not made
        return made


def decompressor(form: str) -> Decompressor:
    """A fresh decompressor of the named format.

    Raises:
        MissingLibraryError: it needs a library that is not installed.
    """
    if form == "bzip2":
        return bz2.BZ2Decompressor()
    if form == "xz":
        return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    if form == "lz4":
        return _lz4()
    return _Inflater({"zlib": 15, "deflate": -15}[form])


def _lz4() -> Decompressor:
    """A decompressor of LZ4 frames."""
    try:
        made: Decompressor = import_module("lz4.frame").LZ4FrameDecompressor()
    except ImportError as error:
        msg = "LZ4 needs a library that is not installed: pip install 'plmscan[archives]'"
        raise MissingLibraryError(msg) from error
    return made


def unpack(packed: Stream, form: str, allowance: Allowance) -> Stream:
    """What ``packed`` holds, with parts that were compressed one after another joined."""
    return Stream(_Unpacking(packed, form, allowance).read)


class _Unpacking:
    """Compressed data on its way out."""

    def __init__(self, packed: Stream, form: str, allowance: Allowance) -> None:
        """Nothing is out yet."""
        self._packed = packed
        self._form = form
        self._allowance = allowance
        self._inner = self._begin()
        self._is_over = False

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, none at the end.

        Raises:
            BrokenError: the compressed data is damaged.
            BoundError: the allowance is used up.
        """
        # Small pieces, as loaders ask for them: what comes before some damage is used.
        size = min(size, _PIECE)
        while not self._is_over:
            made = self._more(size)
            if made:
                self._allowance.unpack(len(made))
                return made
        return b""

    def _begin(self) -> Decompressor:
        """A decompressor for the part that is next."""
        if self._form == "gzip":
            _skip_gzip_header(self._packed)
            return decompressor("deflate")
        return decompressor(self._form)

    def _more(self, size: int) -> bytes:
        """What one step gives, which may be nothing."""
        if self._inner.eof:
            self._next_part()
            return b""
        data = b""
        if self._inner.needs_input:
            data = self._packed.read(_CHUNK)
            self._is_over = not data
        try:
            return self._inner.decompress(data, size)
        except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError, RuntimeError) as error:
            msg = f"its compressed data is damaged ({in_one_line(error)})"
            raise BrokenError(msg) from error

    def _next_part(self) -> None:
        """Begin with what follows the end of one compressed part, if that is one as well."""
        self._packed = joined(self._inner.unused_data, self._packed)
        if self._form == "gzip":
            self._packed.read(_GZIP_TRAILER)  # a checksum, at which loaders look too late
        magic = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7z", "lz4": b"\x04\x22\x4d\x18"}
        expected = magic.get(self._form, b"")
        if expected and self._packed.peek(len(expected)) == expected:
            self._inner = self._begin()
        else:
            self._is_over = True


def joined(start: bytes, rest: Stream) -> Stream:
    """``start``, and then ``rest``."""

    def source(size: int) -> bytes:
        nonlocal start
        data, start = start, b""
        return data or rest.read(size)

    return Stream(source)


def _skip_gzip_header(packed: Stream) -> None:
    """Pass over the header of gzip data, so that a wrong checksum at its end hides nothing.

    Raises:
        BrokenError: it is none.
    """
    header = packed.take(10)
    if not header.startswith(b"\x1f\x8b\x08"):
        msg = "its gzip data is damaged"
        raise BrokenError(msg)
    flags = header[3]
    if flags & 4:
        packed.skip(int.from_bytes(packed.take(2), "little"))
    for flag in (8, 16):
        while flags & flag and packed.byte():
            pass
    packed.skip(2 if flags & 2 else 0)
