"""The program of a large pickle without the numbers that it loads.

A weight file of torch is a small program for the unpickler and gigabytes of raw numbers, which no
loader takes for a program.  `program_of` copies the small part, byte by byte, into a file of its
own, if the whole is built exactly as ``torch.save`` builds it; what is built otherwise may hide
something between the numbers, and has to be read whole.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import deque
from contextlib import contextmanager
from pickletools import genops
from typing import TYPE_CHECKING, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from plmscan.errors import in_one_line
from plmscan.kinds import Kind
from plmscan.runtimes import gguf, keras, onnx
from plmscan.runtimes.torchscript import holds_numbers
from plmscan.runtimes.wire import TooManyPartsError
from plmscan.source.ranges import UnreadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["description_of", "program_of", "without_numbers"]

_ZIP_START = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_END_SIZE = 22
_PROGRAM = re.compile(r"[^/]+/data\.pkl")
_HEADER = 30
_SLACK = 4096 + 256
"""Bytes between two members: torch aligns numbers, to a page at most."""
_MOST_MEMBERS = 50_000
_LARGEST_PROGRAM = 2**24
_LONGEST_PICKLES = 2**21
"""Bytes of instructions that are followed; those of the largest models have a tenth."""
_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""What files of torch before 1.6 begin with, behind the mark of the protocol."""
_PARTS = 5
"""Pickles at their start: the magic number, a version, the machine, the object, the keys."""
_FIRST_LOOK = 2**16
_STUB = 4096
"""Bytes of a broken file: enough to see that."""


def program_of(file: BinaryIO) -> bytes:
    """The part of the open weight file that is a program: a zip without numbers, or pickles.

    Raises:
        UnreadError: it is not built as torch builds it, or its program is too large.
    """
    start = file.read(16)
    file.seek(-_END_SIZE, 2)
    ends_like_zip = file.read(_END_SIZE).startswith(_ZIP_END)
    if start.startswith(_ZIP_START) and ends_like_zip:
        return _of_zip(file)
    if start[:1] == b"\x80" and start[2:].startswith(_MAGIC) and not ends_like_zip:
        return _of_pickles(file)
    msg = "It is not built as torch builds weight files, so it can only be read whole."
    raise UnreadError(msg)


def description_of(file: BinaryIO) -> bytes:
    """The part of an open Keras archive that says what its layers do: a zip without weights.

    Raises:
        UnreadError: it cannot be read.
    """
    with _archive(file) as archive:
        described = [m for m in archive.infolist() if not m.filename.endswith(keras.WEIGHTS)]
        return _copied(archive, described)


def without_numbers(file: BinaryIO, kind: Kind, size: int) -> bytes:
    """As much of an open file of another runtime as says what it does besides computing.

    Raises:
        UnreadError: that cannot be read, or it could be anywhere in the file.
    """
    start = file.read(_STUB)
    file.seek(0)
    try:
        if kind is Kind.HDF5:
            return description_of(file) if start.startswith(b"PK") else keras.without_numbers(file)
        if kind is Kind.ONNX:
            return onnx.without_numbers(file, size)
        return gguf.without_numbers(file, size)
    except ValueError as error:
        if kind is Kind.HDF5 or isinstance(error, TooManyPartsError):
            msg = f"It can only be read whole: {error}."
            raise UnreadError(msg) from error
        return start  # which is as broken as all of it


def _of_zip(file: BinaryIO) -> bytes:
    """The same of a file since torch 1.6: a zip archive.

    Raises:
        UnreadError: torch did not write it.
    """
    with _archive(file) as archive:
        members = archive.infolist()
        numbers = _refuse_odd_members(members, archive.start_dir)
        return _copied(archive, [m for m in members if m.filename not in numbers])


@contextmanager
def _archive(file: BinaryIO) -> Iterator[ZipFile]:
    """The open zip archive.

    Raises:
        UnreadError: it cannot be read.
    """
    try:
        with ZipFile(file) as archive:
            yield archive
    except UnreadError:
        raise
    except (BadZipFile, RuntimeError, ValueError, EOFError, NotImplementedError) as error:
        msg = f"Its zip archive cannot be read ({in_one_line(error, 120)})."
        raise UnreadError(msg) from error


def _refuse_odd_members(members: Sequence[ZipInfo], directory: int) -> frozenset[str]:
    """The names of the members that hold numbers, in an archive that is built as torch does.

    Raises:
        UnreadError: something else could be in it.
    """
    names = [member.filename for member in members]
    numbers = {m.filename for m in members if holds_numbers(m.filename)}
    packed = any(m.flag_bits & 1 for m in members) or any(
        m.compress_type != ZIP_STORED for m in members if m.filename in numbers
    )
    ordered = sorted(members, key=lambda member: member.header_offset)
    starts = [member.header_offset for member in ordered]
    ends = [m.header_offset + _HEADER + len(m.filename.encode()) + m.compress_size for m in ordered]
    close = all(0 <= b - a <= _SLACK for a, b in zip([0, *ends], [*starts, directory], strict=True))
    few = len(names) == len(set(names)) <= _MOST_MEMBERS
    if not (few and not packed and close and any(map(_PROGRAM.fullmatch, names))):
        msg = "Its zip archive is not built as torch builds it, so it can only be read whole."
        raise UnreadError(msg)
    return frozenset(numbers)


def _copied(archive: ZipFile, members: Sequence[ZipInfo]) -> bytes:
    """A zip archive of some members.

    Raises:
        UnreadError: they are too large.
    """
    if sum(member.file_size for member in members) > _LARGEST_PROGRAM:
        msg = f"Its program is larger than {_LARGEST_PROGRAM >> 20} MB."
        raise UnreadError(msg)
    target = io.BytesIO()
    with ZipFile(target, "w") as copy:
        for member in members:
            copy.writestr(ZipInfo(member.filename), archive.read(member))
    return target.getvalue()


def _of_pickles(file: BinaryIO) -> bytes:
    """The same of a file before torch 1.6: five pickles, then numbers.

    Raises:
        UnreadError: the pickles do not end, or not soon.
    """
    size = file.seek(0, 2)
    length = min(_FIRST_LOOK, size)
    while True:
        file.seek(0)
        data = file.read(length)
        end = _end_of_pickles(data)
        if end:
            return data[:end]
        if length >= min(size, _LONGEST_PICKLES):
            msg = "Its pickles do not end where those of torch do, so it can only be read whole."
            raise UnreadError(msg)
        length = min(4 * length, size, _LONGEST_PICKLES)


def _end_of_pickles(data: bytes) -> int:
    """Where the last of the five pickles ends; 0 if it does not end in ``data``."""
    file = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escape sequences in what is no pickle
            for _ in range(_PARTS):
                deque(genops(file), maxlen=0)
    except (ValueError, OverflowError):
        return 0
    return file.tell()
