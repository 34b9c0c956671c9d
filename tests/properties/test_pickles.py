"""Whatever bytes a file holds, reading it ends, and wrapping it changes nothing."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import pickle
import zlib
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plmscan.pickles import Allowance, Global, Level, judge, read
from tests.pickled import call, tarred, zipped

if TYPE_CHECKING:
    from pathlib import Path

    from plmscan.pickles import Reading

_ALONE = b"(012NQRabdeilost)]}u\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x98"
FRAGMENTS = st.sampled_from([
    *(bytes([code]) for code in _ALONE),
    b"ca\nb\n", b"cos\nsystem\n", b"ic\nd\n", b"S'os'\n", b"S'o\\x73'\n", b"Vsystem\n",
    b"V\\u006fs\n", b"I1\n", b"I01\n", b"L7L\n", b"F1.5\n", b"K\x01", b"M\x01\0",
    b"J\1\0\0\0", b"G" + bytes(8), b"U\x02os", b"T\x02\0\0\0os", b"X\x02\0\0\0os",
    b"\x8c\x06system", b"\x8d\x02" + bytes(7) + b"os", b"C\x01x", b"B\x01\0\0\0x",
    b"\x8e\x01" + bytes(7) + b"x", b"\x96\x01" + bytes(7) + b"x", b"\x8a\x01\x05",
    b"\x8b\x01\0\0\0\x05", b"p1\n", b"g1\n", b"q\x01", b"h\x01", b"q\0", b"h\0",
    b"r\x02\0\0\0", b"j\x02\0\0\0", b"\x80\x02", b"\x80\x04", b"\x95\x03" + bytes(7),
    b"Pid\n", b".", b"i",
])  # fmt: skip
"""Instructions with what belongs to them."""

ours = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=2000
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.complex_numbers(),
    lambda inner: st.lists(inner)
    | st.dictionaries(st.text() | st.integers(), inner)
    | st.tuples(inner, inner)
    | st.sets(st.text() | st.binary()),
    max_leaves=30,
)  # fmt: skip
SEEDS = (
    b"S'a\\ b'\n.",
    b"\x93NUMPY\x01\x00\x16\x00{'descr': '\\ |O'}     \n" + pickle.dumps([1]),
    call("posix", "system"),
    pickle.dumps({"a": [1, (2, "x")], "b": b"y" * 40}, 2),
    pickle.dumps({"a": [1, (2, "x")], "b": b"y" * 40}, 0),
    zipped(("a/data.pkl", pickle.dumps({"a": 1}))),
    tarred(("a", pickle.dumps([1]))),
    gzip.compress(pickle.dumps([1, 2])),
    b"\x93NUMPY\x01\x00\x16\x00{'descr': '|O'}       \n" + pickle.dumps([1]),
)
WRAPPINGS = (
    gzip.compress,
    bz2.compress,
    lzma.compress,
    zlib.compress,
    lambda content: zipped(("a/data.pkl", content)),
    lambda content: tarred(("x", content)),
    lambda content: gzip.compress(tarred(("x", zipped(("y", content))))),
)


def small() -> Allowance:
    """Enough for what is tried here."""
    return Allowance(opcodes=200_000, unpacked=2**22, members=100)


class _Anything:
    """Stands for whatever a pickle names: it can be called, built, changed and put into a set."""

    def __init__(self, *_: object, **__: object) -> None:
        """It does not matter of what."""

    def __call__(self, *_: object, **__: object) -> _Anything:
        """One more of the same."""
        return _Anything()

    def __setstate__(self, _state: object) -> None:
        """Nothing changes."""

    def __reduce__(self) -> str:
        """It is never pickled."""
        return "_Anything"


class _Recorder:
    """Keeps an unpickler of Python's own from importing, and notes what it would import."""

    def __init__(self, content: bytes) -> None:
        """Nothing was named yet."""
        super().__init__(io.BytesIO(content))  # type: ignore[call-arg]
        self.named: set[Global] = set()

    def find_class(self, module: str, name: str) -> type[_Anything]:
        """Note the name, if it can be one."""
        if module and name:
            self.named.add(Global.of(module, name))
        return _Anything

    def persistent_load(self, _pid: object) -> None:
        """Nothing is kept elsewhere."""


class _Compiled(_Recorder, pickle.Unpickler):
    """The usual unpickler."""


class _Written(_Recorder, pickle._Unpickler):  # type: ignore[misc,name-defined]
    """The one that is written in Python, which joblib and dill build on."""


def levels(reading: Reading) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """How everything in a file is judged."""
    names = ((i.full, judge(i, use).value) for i, use in reading.uses.items())
    return sorted(names), reading.acts


@ours
@given(st.binary(max_size=400) | st.lists(st.sampled_from(b"cti()RbsuX\x80\x93\x8c.0p\n"),
                                          max_size=200).map(bytes), st.booleans())  # fmt: skip
def test_any_bytes_are_read_to_some_end(tmp_path: Path, content: bytes, named: bool) -> None:
    """Reading raises for nothing that a file can hold."""
    (tmp_path / "any").write_bytes(content)
    read(tmp_path / "any", is_named_pickle=named, allowance=small())


@ours
@given(st.sampled_from(SEEDS), st.data())
def test_damage_raises_nothing(tmp_path: Path, seed: bytes, data: st.DataObject) -> None:
    """The same holds for pickles and archives of which some bytes are others."""
    content = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(seed) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "any").write_bytes(content[: data.draw(st.integers(0, len(seed)))] or content)
    read(tmp_path / "any", is_named_pickle=True, allowance=small())


@ours
@given(PLAIN, st.integers(0, 5))
def test_plain_data_is_clean(tmp_path: Path, value: object, protocol: int) -> None:
    """No numbers, texts and containers look harmful, in any protocol."""
    (tmp_path / "data.pkl").write_bytes(pickle.dumps(value, protocol))
    reading = read(tmp_path / "data.pkl", is_named_pickle=True)
    assert reading.pickles == 1
    assert not reading.problems
    assert {level for _, level in levels(reading)[0]} <= {Level.ALLOWED.value}
    assert not reading.acts


@ours
@given(
    st.sampled_from(WRAPPINGS),
    st.sampled_from([call("posix", "system"), call("a", "b"), b"cposix\nsystem\n(tR."])
    | PLAIN.map(pickle.dumps),
)
def test_wrapping_changes_no_verdict(tmp_path: Path, wrap: object, content: bytes) -> None:
    """A pickle in archives is the pickle that it is outside of them."""
    (tmp_path / "bare.pkl").write_bytes(content)
    (tmp_path / "wrapped").write_bytes(wrap(content))  # type: ignore[operator]
    bare = read(tmp_path / "bare.pkl", is_named_pickle=True)
    wrapped = read(tmp_path / "wrapped", is_named_pickle=False)
    assert levels(wrapped) == levels(bare)
    assert wrapped.problems == bare.problems


@settings(ours, max_examples=300)
@given(st.lists(FRAGMENTS, min_size=1, max_size=25).map(b"".join))
def test_nothing_is_named_that_was_not_seen(tmp_path: Path, content: bytes) -> None:
    """What Python's own unpicklers would import, the machine that follows it has noted."""
    (tmp_path / "a.pkl").write_bytes(content)
    reading = read(tmp_path / "a.pkl", is_named_pickle=True)
    for unpickler in (_Compiled(content), _Written(content)):
        with contextlib.suppress(Exception):
            unpickler.load()
        # Where instructions cross frames, the unpicklers differ, and nobody's names count.
        assert unpickler.named <= reading.uses.keys() or reading.acts
