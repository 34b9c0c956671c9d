"""Pickles that are put together by hand: what no library writes.  Never load one."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile

import py7zr

__all__ = [
    "call",
    "constant",
    "seven_zipped",
    "stack_name",
    "tarred",
    "text",
    "text_name",
    "zipped",
]


def text(value: str) -> bytes:
    """SHORT_BINUNICODE."""
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def text_name(module: str, name: str) -> bytes:
    """GLOBAL: a name in two lines."""
    return f"c{module}\n{name}\n".encode()


def stack_name(module: str, name: str) -> bytes:
    """STACK_GLOBAL: a name from two texts."""
    return text(module) + text(name) + b"\x93"


def constant(data: bytes) -> bytes:
    """BINBYTES."""
    return b"B" + struct.pack("<I", len(data)) + data


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """A whole pickle that calls ``module.name`` with what ``arguments`` push; one text if none."""
    pushed = b"".join(arguments or (text("true"),))
    return b"\x80\x04" + stack_name(module, name) + b"(" + pushed + b"tR."


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes], mode: str = "w") -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def seven_zipped(*members: tuple[str, bytes]) -> bytes:
    """A 7z archive."""
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(content, name)
    return buffer.getvalue()
