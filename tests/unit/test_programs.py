"""The programs of large pickles, copied without the numbers beside them."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plmscan.source import ranges
from plmscan.source.programs import program_of
from plmscan.source.ranges import RangeFile, UnreadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NUMBERS = bytes(5000)


def saved(*, legacy: bool) -> bytes:
    """A weight file of torch."""
    buffer = io.BytesIO()
    state = {"a": torch.zeros(9000), "b": torch.ones(3)}
    torch.save(state, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def zipped(members: Sequence[tuple[str, bytes]], packed: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of ``members``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


HONEST = [("m/data.pkl", pickle.dumps(1)), ("m/version", b"3\n"), ("m/data/0", NUMBERS)]


def test_of_an_archive_all_but_the_numbers_is_copied() -> None:
    """The pickle and what describes it are there, byte by byte."""
    data = saved(legacy=False)
    with (
        zipfile.ZipFile(io.BytesIO(program_of(io.BytesIO(data)))) as copy,
        zipfile.ZipFile(io.BytesIO(data)) as whole,
    ):
        left_out = set(whole.namelist()) - set(copy.namelist())
        assert all(copy.read(name) == whole.read(name) for name in copy.namelist())
    assert left_out == {"archive/data/0", "archive/data/1"}


def test_of_old_files_the_five_pickles_are_copied() -> None:
    """What follows them is numbers, which no loader unpickles."""
    data = saved(legacy=True)
    program = program_of(io.BytesIO(data))
    assert data.startswith(program)
    assert len(program) < 1000
    assert program.endswith(b".")
    assert len(data) - len(program) == 2 * 8 + 4 * 9003  # two counts and the numbers


@pytest.mark.parametrize(
    "data",
    [
        zipped([("m/data/0", NUMBERS)]),
        zipped(HONEST, zipfile.ZIP_DEFLATED),
        zipped(HONEST) + bytes(30),
        b"x" * 20 + zipped(HONEST),
        zipped([*HONEST, ("m/other", bytes(2**24))]),
        zipped(HONEST)[:-30],
        zipped(HONEST)[:200] + bytes(9000) + zipped(HONEST)[200:],
        pickle.dumps([NUMBERS]),
        saved(legacy=True)[:40],
        saved(legacy=True)[:20] + zipped(HONEST),
        b"",
        bytes(3),
    ],
)
def test_what_torch_did_not_write_has_to_be_read_whole(data: bytes) -> None:
    """Something could hide in it: before, between or behind the members, or in packed ones."""
    with pytest.raises(UnreadError):
        program_of(io.BytesIO(data))


@given(st.data())
def test_no_change_of_a_file_gives_anything_but_a_copy_or_a_refusal(data: st.DataObject) -> None:
    """Neither a traceback nor bytes that are not in the file."""
    whole = bytearray(saved(legacy=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(-800, 800))] = data.draw(st.integers(0, 255))
    try:
        program = program_of(io.BytesIO(bytes(whole)))
    except UnreadError:
        return
    assert len(program) < len(whole)


@given(st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 100_000)), max_size=5))
def test_a_file_of_parts_reads_like_a_file(places: list[tuple[int, int]]) -> None:
    """Wherever one reads, the bytes are those of the whole, and no block is asked for twice."""
    whole = bytes(range(251)) * 1000
    asked: list[int] = []

    def ask(start: int, stop: int) -> bytes:
        asked.extend(range(start, stop, 2**14))
        return whole[start:stop]

    file, real = RangeFile(len(whole), ask, None), io.BytesIO(whole)
    for at, size in places:
        assert (file.seek(at), file.read(size)) == (real.seek(at), real.read(size))
        assert file.tell() == max(at, real.tell())
    assert len(asked) == len(set(asked))


def test_kept_parts_are_not_asked_for_again(tmp_path: Path) -> None:
    """Nor are broken ones believed."""
    whole = b"ab" * 100_000

    def refuse(_start: int, _stop: int) -> bytes:
        msg = "Nobody is there."
        raise UnreadError(msg)

    assert RangeFile(len(whole), lambda a, b: whole[a:b], tmp_path).read() == whole
    assert RangeFile(len(whole), refuse, tmp_path).read() == whole
    (tmp_path / "1").write_bytes(b"short")
    with pytest.raises(UnreadError):
        RangeFile(len(whole), refuse, tmp_path).read()


def test_what_is_read_on_and_on_comes_in_larger_and_larger_parts() -> None:
    """A vocabulary of 4 MB takes a dozen requests, though it is read by eight bytes at a time."""
    asked: list[int] = []

    def ask(start: int, stop: int) -> bytes:
        asked.append(stop - start)
        return bytes(stop - start)

    file = RangeFile(2**22, ask, None)
    while file.read(4096):
        pass
    assert sum(asked) == 2**22
    assert len(asked) <= 12


def test_a_file_that_leads_round_in_circles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows its structures is stopped after so many reads, whatever they fetch."""
    monkeypatch.setattr(ranges, "_MOST_READS", 100)
    file = RangeFile(2**20, lambda a, b: bytes(b - a), None)
    for _ in range(100):
        file.seek(0)
        file.read(8)
    file.seek(0)
    with pytest.raises(UnreadError, match="comes to no end"):
        file.read(8)


def test_only_so_much_of_a_file_is_read() -> None:
    """A directory that is said to be endless is not fetched."""
    with pytest.raises(UnreadError, match="32 MB"):
        RangeFile(2**40, lambda a, b: bytes(b - a), None).read(2**30)
