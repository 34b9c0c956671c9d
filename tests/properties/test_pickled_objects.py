"""Plain data in pickles: what is read is what was written, and nothing else is taken."""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from plmscan.loading.linear import tensor_of
from plmscan.pickles import BoundError, BrokenError, ForeignError, read_objects
from plmscan.pickles.objects import Array, Object
from tests.pickled import call, constant, stack_name, text

_Dump = Callable[[object, int], bytes]
_Numbers = np.ndarray[Any, Any]


def by_pickle(value: object, protocol: int) -> bytes:
    """``value`` as Python writes it."""
    return pickle.dumps(value, protocol)


def by_joblib(value: object, protocol: int) -> bytes:
    """``value`` as joblib writes it."""
    buffer = io.BytesIO()
    joblib.dump(value, buffer, protocol=protocol)
    return buffer.getvalue()


def read(data: bytes) -> Any:  # noqa: ANN401
    """What is read of ``data``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model_head.pkl")
        path.write_bytes(data)
        return read_objects(path)


NUMBERS = st.sampled_from(["f4", "f8", "i4", "i8"]).flatmap(
    lambda code: arrays.arrays(code, arrays.array_shapes(max_dims=3, max_side=4))
)


@given(
    NUMBERS, st.integers(2, 5), st.sampled_from(["C", "F"]), st.sampled_from([by_pickle, by_joblib])
)
def test_arrays_are_read_as_they_were_written(
    written: _Numbers,
    protocol: int,
    order: Literal["C", "F"],
    dump: _Dump,
) -> None:
    """To the last bit: any shape, by rows or columns, in every protocol, twice in one pickle."""
    laid = np.asarray(written, order=order)
    found = read(dump({"one": laid, "same": [laid, 2.5, None, True]}, protocol))
    for array in (found["one"], found["same"][0]):
        assert array.shape == written.shape
        assert tensor_of(array).numpy().tobytes() == written.tobytes()
    assert found["same"][1:] == [2.5, None, True]


@given(NUMBERS, st.sampled_from([2, 3]))
def test_arrays_of_numpy_1(written: _Numbers, protocol: int) -> None:
    """Its functions had another home."""
    data = by_pickle(written, protocol).replace(b"cnumpy._core.", b"cnumpy.core.")
    assert b"_core" not in data
    assert tensor_of(read(data)).numpy().tobytes() == written.tobytes()


@pytest.mark.parametrize("dump", [by_pickle, by_joblib])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_words_and_single_numbers(dump: _Dump, protocol: int) -> None:
    """Names of classes are texts or objects, and numpy has numbers of its own."""
    words = ["negative", "très bien", "好"]
    value = {"u": np.array(words), "o": np.array(words, dtype=object), "n": np.float64(0.5)}
    found = read(dump(value, protocol))
    assert found["u"].texts() == words
    assert found["o"].items == tuple(words)
    assert tensor_of(found["n"]).item() == 0.5


def refusal(data: bytes) -> str:
    """Why ``data`` is refused; empty if it is read."""
    try:
        read(data)
    except (BoundError, BrokenError, ForeignError) as error:
        return str(error)
    return ""


@given(st.binary(max_size=40), st.integers(0, 400))
@example(b"\xc2\x80\n", 24)
@example(b"c\\", 146)
def test_damage_is_told_in_one_line(noise: bytes, place: int) -> None:
    """Bytes overwritten anywhere leave plain data, or one of the errors that say what is wrong."""
    whole = by_joblib({"coef_": np.ones((2, 3)), "names": np.array(["a", "b"])}, 4)
    assert refusal(whole) == ""
    assert len(refusal(whole[:place] + noise + whole[place + len(noise) :]).splitlines()) < 2


REDUCED = (
    b"\x80\x04" + stack_name("sklearn.linear_model._logistic", "LogisticRegression") + b")\x81}"
)
REFUSED = {
    "a call": (call("posix", "system"), ForeignError, "posix.system"),
    "a call in a classifier": (
        REDUCED + text("coef_") + call("builtins", "eval")[2:-1] + b"sb.", ForeignError, "eval"
    ),
    "a name in a pickle of objects": (
        by_joblib(np.array([io.StringIO, None], dtype=object), 4), ForeignError, "StringIO"
    ),
    "a class of another library": (call("some.library", "Thing"), ForeignError, "some.library"),
    "a function that is only held": (
        call("numpy", "matrix"), ForeignError, "numpy.matrix"
    ),
    "an instruction of no data": (b"\x80\x02P1\n.", BrokenError, "PERSID"),
    "an extension": (b"\x80\x02\x82\x05.", BrokenError, "EXT1"),
    "protocol 0": (pickle.dumps([1], 0), BrokenError, "protocol 2 to 5"),
    "compressed": (b"x\x9c" + bytes(20), BrokenError, "compressed"),
    "empty": (b"", BrokenError, "protocol 2 to 5"),
    "cut": (by_joblib(np.ones(9), 4)[:-30], BrokenError, "end too early"),
    "more behind": (pickle.dumps(1) + pickle.dumps(2), BrokenError, "more follows"),
    "a second start": (b"\x80\x02\x80\x02N.", BrokenError, "PROTO"),
    "a frame that is too long": (b"\x80\x04\x95\x09\0\0\0\0\0\0\0N.", BrokenError, "fit"),
    "a frame that is too short": (b"\x80\x04\x95\x01\0\0\0\0\0\0\0K\x01.", BrokenError, "fit"),
    "two values": (b"\x80\x02NN.", BrokenError, "fit"),
    "a key that may nest deeper than Python can hash": (
        b"\x80\x02})\x85\x85Ns.", BrokenError, "fit"
    ),
    "bytes written again and again": (
        b"\x80\x02" + stack_name("_codecs", "encode") + b"q\x00X\x00\x00\x00\x01" + b"x" * 2**24
        + text("latin1") + b"\x86q\x01" + b"h\x00h\x01R" * 5 + b".", BrokenError, "fit"
    ),
    "fewer numbers than promised": (
        by_pickle(np.ones(3), 4).replace(b"K\x03\x85", b"K\x09\x85"), BrokenError, "fit"
    ),
    "numbers of the other end": (by_pickle(np.ones(3, ">f8"), 4), BrokenError, "fit"),
    "a record": (by_pickle(np.ones(3, [("a", "f8")]), 4), BrokenError, "fit"),
    "more dimensions than any": (by_pickle(np.ones((1,) * 9), 4), BrokenError, "fit"),
    "a list that is no list": (b"\x80\x02Na.", BrokenError, "fit"),
    "bytes in place of an array": (
        call("numpy.core.multiarray", "_reconstruct", constant(b"x")), BrokenError, "fit"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_data_is_refused(data: bytes, error: type[Exception], said: str) -> None:
    """With the name or the instruction, and before anything behind it is read."""
    with pytest.raises(error, match=said):
        read(data)


def test_a_file_larger_than_any_is_not_read(tmp_path: Path) -> None:
    """It would have to be in memory."""
    path = tmp_path / "model_head.pkl"
    with path.open("wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(BoundError, match="64 MiB"):
        read_objects(path)


def test_steps_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that only keeps the reader busy is given up."""
    monkeypatch.setattr("plmscan.pickles.objects._MOST_STEPS", 99)
    assert len(read(b"\x80\x02](" + b"N" * 90 + b"e.")) == 90
    with pytest.raises(BoundError, match="99 steps"):
        read(b"\x80\x02](" + b"N" * 100 + b"e.")


def test_what_an_object_calls_is_not_looked_into() -> None:
    """What honest calls make stays an object of its name, whatever they were given."""
    found = read(call("sklearn.linear_model._sgd_fast", "Hinge", b"K\x01"))
    assert isinstance(found, Object)
    assert (found.by.name, found.state) == ("Hinge", {})


def test_an_array_amid_a_frame_is_refused() -> None:
    """Joblib reads a frame as a whole, so the array would be another one for it."""
    data = by_joblib(np.ones(3), 4)
    at = data.index(b"\x95")
    size = int.from_bytes(data[at + 1 : at + 9], "little")
    with pytest.raises(BrokenError):
        read(data[: at + 1] + (size + 1).to_bytes(8, "little") + data[at + 9 :])
    assert isinstance(read(data), Array)
