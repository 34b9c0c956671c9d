"""What a file is, whatever it is called."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.kinds import Kind, is_lfs_pointer, kind_by_name, kind_of

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
CALL = b"cposix\nsystem\n(S'true'\ntR."


def kind(tmp_path: Path, data: bytes, name: str = "file") -> Kind:
    """What ``data`` is in a file of that name."""
    path = tmp_path / "content"
    path.write_bytes(data)
    return kind_of(path, name)


def zipped() -> bytes:
    """An archive with one member."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a", b"b")
    return held.getvalue()


def tarred() -> bytes:
    """The same as tar."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO(b""))
    return held.getvalue()


def of_old_age(archive: bytes) -> bytes:
    """The first header of a tar as it was before there was a mark."""
    head = bytearray(archive[:512])
    head[257:512] = bytes(255)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + archive[512:]


CONTENT = {
    "tar without a mark": (of_old_age(tarred()), Kind.TAR),
    "compress": (b"\x1f\x9d\x90a", Kind.COMPRESSED),
    "lzip": (b"LZIP\x01\x0c", Kind.COMPRESSED),
    "nothing": (b"", Kind.EMPTY),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", Kind.LFS_POINTER),
    "safetensors": (len(HEADER).to_bytes(8, "little") + HEADER + bytes(4), Kind.SAFETENSORS),
    "pickle 0": (CALL, Kind.PICKLE),
    "pickle behind a list": (b"(lp0\nI1\na" + CALL, Kind.PICKLE),
    "pickle behind another": (b"I1\n." + CALL, Kind.PICKLE),
    "pickle behind many values": (b"N0" * 3000 + CALL, Kind.PICKLE),
    "pickle behind a long text": (b"S'" + b"a" * 6000 + b"'\n0" + CALL, Kind.PICKLE),
    "pickle behind a whole look": (b"N0" * 2**18 + CALL, Kind.PICKLE),
    "pickle that breaks off": (CALL[:-1] + b"\xff", Kind.PICKLE),
    "pickle behind a mark": (b"(" + CALL[:-1] + b"0\xff", Kind.PICKLE),
    "one long line": (b"Very " * 2000 + b"\nlong\n", Kind.TEXT),
    "digits": (b"0102" * 2000, Kind.TEXT),
    "letters": (b"N" * 9000, Kind.TEXT),
    "a list": (b"camera\nlens\nRed\nbook\nink\n", Kind.TEXT),
    "pickle 1": (pickle.dumps(len, 1), Kind.PICKLE),
    "pickle 2": (pickle.dumps([1], 2), Kind.PICKLE),
    "pickle 5": (pickle.dumps([1], 5), Kind.PICKLE),
    "zip": (zipped(), Kind.ZIP),
    "zip behind noise": (b"\x00\x01" * 99 + zipped(), Kind.ZIP),
    "zip behind a picture": (b"\x89PNG\r\n\x1a\n" + bytes(99) + zipped(), Kind.ZIP),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), Kind.IMAGE),
    "tar": (tarred(), Kind.TAR),
    "gzip": (gzip.compress(CALL), Kind.COMPRESSED),
    "bz2": (bz2.compress(CALL), Kind.COMPRESSED),
    "xz": (lzma.compress(CALL), Kind.COMPRESSED),
    "lzma": (lzma.compress(CALL, lzma.FORMAT_ALONE), Kind.COMPRESSED),
    "zlib": (zlib.compress(CALL), Kind.COMPRESSED),
    "rar": (b"Rar!\x1a\x07\x01\x00" + bytes(99), Kind.COMPRESSED),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), Kind.HDF5),
    "gguf": (b"GGUF\x03\0\0\0", Kind.GGUF),
    "ggml": (b"lmgg" + bytes(99), Kind.GGML),
    "ctranslate2": (struct.pack("<IH", 6, 16) + b"TransformerSpec\0", Kind.CTRANSLATE2),
    "library": (b"\x7fELF\x02", Kind.PROGRAM),
    "words": (b"camera\nlens\nbook\n" * 20, Kind.TEXT),
    "notice": (b"copyright\nsomebody\nand more\n", Kind.TEXT),
    "code": (b"import os\nimport sys\n", Kind.TEXT),
    "noise": (bytes(range(7, 256)) * 8, Kind.UNKNOWN),
}


@pytest.mark.parametrize(("data", "expected"), CONTENT.values(), ids=CONTENT)
@pytest.mark.parametrize("name", ["file", "file.dat", "README.md", "a/b.txt"])
def test_content_decides(tmp_path: Path, data: bytes, expected: Kind, name: str) -> None:
    """A format with a mark is known by it, under any name."""
    assert kind(tmp_path, data, name) is expected


@pytest.mark.parametrize("name", ["adapter.safetensors", "model.onnx", "vocab.txt", "a.json"])
def test_a_pickle_is_a_pickle_under_any_name(tmp_path: Path, name: str) -> None:
    """No suffix makes code harmless."""
    assert kind(tmp_path, pickle.dumps(print, 4), name) is Kind.PICKLE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.json", Kind.JSON),
        ("a.py", Kind.PYTHON),
        ("x/chat.jinja", Kind.TEMPLATE),
        ("tf_model.h5", Kind.HDF5),
        ("flax_model.msgpack", Kind.FLAX),
        ("group1-shard1of3.bin", Kind.TFJS),
        ("params_shard_12.bin", Kind.MLC),
        ("pytorch_model.bin", Kind.PICKLE),
        ("notes", Kind.UNKNOWN),
    ],
)
def test_a_name_says_what_nobody_has_read(name: str, expected: Kind) -> None:
    """A file of the Hub that was not fetched is listed by what its name says."""
    assert kind_by_name(name) is expected


def test_a_pointer_is_known_by_its_first_line() -> None:
    """Only the line of Git LFS makes a pointer."""
    assert is_lfs_pointer(b"version https://git-lfs.github.com/spec/v1\n")
    assert not is_lfs_pointer(b"version 2")


@given(st.binary(max_size=300))
def test_any_bytes_are_of_some_kind(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Nothing that a file can hold stops the look at it."""
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    assert isinstance(kind_of(path, "any"), Kind)
