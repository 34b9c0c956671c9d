"""What reading pickles may cost, and what is told where it would cost more."""

from __future__ import annotations

import gzip
import io
import pickle
import sys
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import lz4.frame
import pytest

from plmscan.pickles import Allowance, read
from tests.pickled import call, constant, seven_zipped, tarred, zipped

if TYPE_CHECKING:
    from pathlib import Path


def small() -> Allowance:
    """An allowance that tests use up quickly."""
    return Allowance(opcodes=100_000, unpacked=2**20, members=100)


def nested_zip(depth: int) -> bytes:
    """A pickle in so many archives."""
    content = call("posix", "system")
    for _ in range(depth):
        content = zipped(("a", content))
    return content


BOMBS = {
    "steps": b"\x80\x02" + b"N0" * 100_000 + b"N.",
    "steps in text": b"N0" * 100_000 + b"N.",
    "bytes": gzip.compress(b"\x80\x02B\0\0\0\x02" + bytes(2**25) + b"."),
    "archive in a compressed file": gzip.compress(zipped(("a", bytes(2**21)))),
    "members": zipped(*((f"{n}", b"x") for n in range(200))),
    "members of a tar archive": tarred(*((f"{n}", b"x") for n in range(200))),
    "archives": nested_zip(9),
    "constants": b"\x80\x04" + constant(b"\x80\x02N.") * 500 + b".",
    "one after another": pickle.dumps(1) * 2000,
    "7z": seven_zipped(("a", bytes(2**21))),
    "a name of a tar archive": tarred(("x" * 2**23, b"x")),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_what_would_cost_too_much_is_told(tmp_path: Path, content: bytes) -> None:
    """Every bound ends in a sentence that says which one it was."""
    (tmp_path / "model.pkl").write_bytes(content)
    reading = read(tmp_path / "model.pkl", is_named_pickle=True, allowance=small())
    assert any("plmscan" in problem for problem in reading.problems)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Members are read as they come out, and no further than a pickle may go."""
    content = b"\x80\x02" + b"N0" * 2**25
    bomb = zipped(("archive/data.pkl", content), method=zipfile.ZIP_DEFLATED)
    (tmp_path / "a.pt").write_bytes(bomb)
    tracemalloc.start()
    reading = read(tmp_path / "a.pt", is_named_pickle=True, allowance=small())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reading.problems
    assert peak < 4 * 2**20


def test_large_values_are_passed_over(tmp_path: Path) -> None:
    """A constant of 64 MB is neither read nor held; one that the file lacks ends the reading."""
    size = 2**26
    with (tmp_path / "a.pkl").open("wb") as file:
        file.write(b"\x80\x04\x8e" + size.to_bytes(8, "little"))
        file.seek(size, io.SEEK_CUR)
        file.write(call("posix", "system")[2:])
    tracemalloc.start()
    reading = read(tmp_path / "a.pkl", is_named_pickle=True)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()
    assert [item.full for item in reading.uses] == ["posix.system"]
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04\x8e" + size.to_bytes(8, "little") + b"x.")
    assert read(tmp_path / "a.pkl", is_named_pickle=True).problems == ("it breaks off",)


def test_a_bound_hides_nothing_before_it(tmp_path: Path) -> None:
    """What was seen until then counts."""
    start = call("posix", "system")[:-1]
    (tmp_path / "a.pkl").write_bytes(start + b"N0" * 100_000 + b".")
    reading = read(tmp_path / "a.pkl", is_named_pickle=True, allowance=small())
    assert [item.full for item in reading.uses] == ["posix.system"]
    assert reading.problems


def test_a_costly_file_leaves_some_work_for_the_next() -> None:
    """One file uses up what all share, and the next still gets enough for a payload."""
    whole = Allowance.of_model()
    whole.share().opcodes -= 1
    for _ in range(10):
        share = whole.share()
        assert share.opcodes >= 50_000
        with pytest.raises(Exception, match="more steps"):
            share.step(share.opcodes)
    assert whole.opcodes <= 0
    assert whole.share().opcodes == 50_000


UNREAD = {
    "locked": zipped(("data.pkl", b"\x80\x02N.")).replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00",
                                                          b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
    .replace(b"\x80\x02N.", b"\x9f\x03Q!"),
    "another method": zipped(("data.pkl", b"\x80\x02N.")).replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63\x00"
    ),
    "cut": zipped(("data.pkl", b"\x80\x02N."))[:-30],
    "a name without a pickle": zipped(("data.pkl", b"nothing")),
    "damaged": b"BZh91AY&SY" + b"\xff" * 40,
    "Zstandard": b"\x28\xb5\x2f\xfd" + bytes(20),
    "objects without a pickle": (
        b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"
        .ljust(69) + b"\n"
    ),
    "cut pickle": pickle.dumps({"a": [1, 2, 3]})[:-4],
}  # fmt: skip


@pytest.mark.parametrize("content", UNREAD.values(), ids=UNREAD)
def test_what_cannot_be_read_is_told(tmp_path: Path, content: bytes) -> None:
    """Nothing unread looks clean."""
    (tmp_path / "model.pkl").write_bytes(content)
    assert read(tmp_path / "model.pkl", is_named_pickle=True).problems


@pytest.mark.parametrize(
    ("library", "content"),
    [("py7zr", seven_zipped(("a", b"x"))), ("lz4.frame", lz4.frame.compress(b"x"))],
    ids=["7z", "lz4"],
)
def test_without_its_library_an_archive_is_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, content: bytes
) -> None:
    """The libraries are optional, and the reason says how to get them."""
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "notes").write_bytes(content)
    (problem,) = read(tmp_path / "notes", is_named_pickle=False).problems
    assert "plmscan[archives]" in problem
