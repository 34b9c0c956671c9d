"""What a pickle holds, read from its instructions without running any.

For files of plain data, such as a fitted head of scikit-learn: numbers, texts, arrays, lists,
tables, and objects of known classes with what is set on them.  Only instructions that Python's
own picklers write for these are followed, and only names of the allow-list are taken; everything
else is refused, so that nothing is taken for what a loader would not make of it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from io import BytesIO
from math import prod
from pickletools import genops
from typing import TYPE_CHECKING, Any

from plmscan.pickles.names import Global, Permission, permission
from plmscan.pickles.streams import BoundError, BrokenError
from plmscan.pickles.values import is_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Array", "ForeignError", "Object", "read_objects"]

_LARGEST = 2**26
"""Bytes of a file; a head for a thousand labels has half of this."""
_MOST_DIMENSIONS = 4
_MOST_STEPS = 500_000
_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_WRAPPERS = (_WRAPPER, f"sklearn.externals.{_WRAPPER}")
_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
_TEXTS = re.compile(r"U[1-9]\d{0,4}")
_ORDERS = ("<", "|", "=")
_FIRST = 0x80
"""The byte that pickles of protocol 2 and later begin with."""


class ForeignError(Exception):
    """A pickle names what no plain data needs."""


@dataclass(slots=True, eq=False)
class Object:
    """An object of a class, or what a known function made."""

    by: Global
    """The class or function."""
    state: dict[str, Any] = field(default_factory=dict)
    """What was set on it, by name."""


@dataclass(slots=True, eq=False)
class Array:
    """Numbers or texts in rows, or one of them."""

    code: str = ""
    """Kind and bytes of an item, as numpy has it: ``f8``, ``i4``, ``b1``, ``U7`` for 7 letters."""
    shape: tuple[int, ...] = ()
    """Size of each dimension."""
    data: bytes = b""
    """The items, little end first."""
    by_column: bool = False
    """Whether the first dimension runs fastest."""
    items: tuple[Any, ...] = ()
    """Those of an array of objects (``O8``), in place of `data`."""

    def fill(self, code: str, shape: object, data: object, *, by_column: bool) -> None:
        """Let it hold ``data``.

        Raises:
            ValueError: they are not what the others say.
        """
        self.code, self.shape, self.by_column = code, _shape(shape), by_column
        if code == "O8" and isinstance(data, list) and self.shape == (len(data),):
            self.items = tuple(data)
        elif isinstance(data, bytes) and len(data) == prod(self.shape) * _size(code):
            self.data = data
        else:
            raise ValueError

    def texts(self) -> list[str]:
        """The items of an array of texts."""
        width = _size(self.code)
        starts = range(0, len(self.data), width)
        return [self.data[i : i + width].decode("utf-32-le").rstrip("\0") for i in starts]


@dataclass(slots=True, eq=False)
class _Type:
    """The type of an array's items."""

    code: str
    """As in `Array`."""
    is_settled: bool = False
    """Whether the order of its bytes is known."""


def read_objects(path: Path) -> Any:  # noqa: ANN401 - whatever it holds
    """The value of the pickle in the file at ``path``.

    Raises:
        BoundError: it is larger than any file of plain data.
        BrokenError: it is none, or not as Python's picklers write it.
        ForeignError: it names what plain data does not need.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        whole = file.read(_LARGEST + 1)
    if len(whole) > _LARGEST:
        msg = f"it is larger than the {_LARGEST // 2**20} MiB that plmscan reads of such a file"
        raise BoundError(msg)
    if whole[:1] != bytes([_FIRST]):
        msg = "it is compressed, or no pickle of protocol 2 to 5"
        raise BrokenError(msg)
    # In memory, what an instruction asks for beyond the end takes no memory.
    stream = BytesIO(whole)
    value = _Reader(stream).run()
    if stream.read(1):
        msg = "more follows its pickle"
        raise BrokenError(msg)
    return value


class _Reader:
    """The machine of one pickle, which knows no instruction that calls or imports anything."""

    def __init__(self, file: BytesIO, *, has_arrays: bool = True) -> None:
        """Read ``file`` from where it stands; ``has_arrays`` as in `plmscan.pickles.machine`."""
        self.file = file
        self.has_arrays = has_arrays
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.frame_end: int | None = None
        self.encoded = 0

    def run(self) -> Any:  # noqa: ANN401
        """The value that it ends with.

        Raises:
            BoundError: it takes too many steps.
            BrokenError: its instructions do not fit each other.
            ForeignError: it names what plain data does not need.
        """
        try:
            for step, (opcode, argument, _) in enumerate(genops(self.file)):
                if step > _MOST_STEPS:
                    msg = f"it has more than the {_MOST_STEPS:,} steps that plmscan follows"
                    raise BoundError(msg)
                self._follow(opcode.name, argument, is_first=step == 0)
            (value,) = self.stack
            if self.frame_end is not None:
                raise ValueError  # noqa: TRY301 - as everything else that does not fit
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
            msg = "its instructions do not fit each other, or end too early"
            raise BrokenError(msg) from error
        return value

    def _follow(self, name: str, argument: Any, *, is_first: bool) -> None:  # noqa: ANN401
        """One instruction, which has to end with its frame or before."""
        act = _ACTS.get(name)
        if act is None or (name == "PROTO") != is_first:
            msg = f"its instruction {name} is none that plain data needs there"
            raise BrokenError(msg)
        act(self, argument)
        if self.frame_end is not None and self.file.tell() >= self.frame_end:
            self._leave_frame()

    def _leave_frame(self) -> None:
        """The end of a frame, which nothing crosses."""
        if self.frame_end is not None and self.file.tell() != self.frame_end:
            raise ValueError
        self.frame_end = None

    def pass_over(self, _argument: object) -> None:
        """PROTO and STOP."""

    def frame(self, size: int) -> None:
        """FRAME."""
        if self.frame_end is not None:
            raise ValueError
        self.frame_end = self.file.tell() + size

    # Values -------------------------------------------------------------------------------------

    def push(self, value: Any) -> None:  # noqa: ANN401
        """A constant."""
        self.stack.append(bytes(value) if isinstance(value, bytearray) else value)

    def mark(self, _argument: object) -> None:
        """MARK."""
        self.marks.append(len(self.stack))

    def pop(self) -> Any:  # noqa: ANN401
        """The topmost value, which lies above the last mark."""
        if self.marks and self.marks[-1] == len(self.stack):
            raise ValueError
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """All values above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self, kind: type) -> Any:  # noqa: ANN401
        """The topmost value, which has to be of a kind."""
        if type(self.stack[-1]) is not kind:
            raise TypeError
        return self.stack[-1]

    def append(self, _argument: object) -> None:
        """APPEND."""
        value = self.pop()
        self.top(list).append(value)

    def appends(self, _argument: object) -> None:
        """APPENDS."""
        values = self.pop_to_mark()
        self.top(list).extend(values)

    def set_item(self, _argument: object) -> None:
        """SETITEM."""
        value, key = self.pop(), self.pop()
        self.top(dict)[_key(key)] = value

    def set_items(self, _argument: object) -> None:
        """SETITEMS."""
        values = self.pop_to_mark()
        keys = map(_key, values[::2])
        self.top(dict).update(zip(keys, values[1::2], strict=True))

    def get(self, key: int) -> None:
        """BINGET and LONG_BINGET."""
        self.stack.append(self.memo[key])

    def put(self, key: int) -> None:
        """BINPUT and LONG_BINPUT."""
        self.memo[key] = self.stack[-1]

    def memoize(self, _argument: object) -> None:
        """MEMOIZE."""
        self.put(len(self.memo))

    # Names and objects --------------------------------------------------------------------------

    def name(self, argument: str) -> None:
        """GLOBAL: module and name, with a space between them."""
        module, name = argument.split(" ")
        self._push_name(module, name)

    def stack_name(self, _argument: object) -> None:
        """STACK_GLOBAL."""
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise TypeError
        self._push_name(module, name)

    def _push_name(self, module: str, name: str) -> None:
        """A name of the allow-list."""
        item = Global.of(module, name)
        if permission(item) is None:
            raise ForeignError(item.shown)
        self.stack.append(item)

    def new(self, _argument: object) -> None:
        """NEWOBJ: an object without its constructor."""
        arguments, callee = self.pop(), self.pop()
        if arguments != ():
            raise ValueError
        self.stack.append(Object(_granted(callee, Permission.BUILD)))

    def reduce(self, _argument: object) -> None:
        """REDUCE: a call, of which only those are understood that make plain data."""
        arguments, callee = self.pop(), self.pop()
        item = _granted(callee, Permission.CALL)
        make = _CALLS.get(item.full.replace("numpy._core.", "numpy.core."))
        made = Object(item) if make is None else make(*arguments)
        self.encoded += len(made) if isinstance(made, bytes) else 0
        if self.encoded > _LARGEST:
            raise ValueError
        self.stack.append(made)

    def build(self, _argument: object) -> None:
        """BUILD: what is set on the topmost value."""
        state, target = self.pop(), self.stack[-1]
        match target:
            case Object(by=by) if isinstance(state, dict):
                target.state.update(state)
                if by.full in _WRAPPERS and self.has_arrays:
                    self._leave_frame()
                    self.stack[-1] = self._inline_array(target.state)
            case Array() if isinstance(state, tuple):
                _, shape, kind, by_column, data = state
                target.fill(_code(kind), shape, data, by_column=bool(by_column))
            case _Type():
                _settle(target, state)
            case _:
                raise TypeError

    def _inline_array(self, state: Mapping[str, Any]) -> Array:
        """The array that joblib writes behind its wrapper."""
        array, code = _empty_array(state["subclass"]), _code(state["dtype"])
        if code == "O8":
            found = _Reader(self.file, has_arrays=False).run()
            if not isinstance(found, Array):
                raise TypeError
            return found
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        size = prod(_shape(state["shape"])) * _size(code)
        data = self.file.read(size)
        array.fill(code, state["shape"], data, by_column=state["order"] == "F")
        return array


def _key(value: Any) -> Any:  # noqa: ANN401
    """``value``, which has to be a plain key: Python crashes over the hash of deep ones."""
    if not isinstance(value, (str, int, float, Array)):
        raise TypeError
    return value


def _granted(callee: Any, least: Permission) -> Global:  # noqa: ANN401
    """``callee``, which has to be a name that may be used so."""
    if not isinstance(callee, Global):
        raise TypeError
    if (permission(callee) or Permission.MENTION) < least:
        raise ForeignError(callee.shown)
    return callee


def _size(code: str) -> int:
    """Bytes of an item."""
    return int(code[1:]) * (4 if code[0] == "U" else 1)


def _shape(shape: object) -> tuple[int, ...]:
    """``shape``, which has to be that of an array."""
    if not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS or not is_shape(shape):
        raise ValueError
    return shape


def _code(kind: object) -> str:
    """The code of a type whose order of bytes is known."""
    if not isinstance(kind, _Type) or not kind.is_settled:
        raise TypeError
    return kind.code


def _type(code: object, *_copied: object) -> _Type:
    """``numpy.dtype``."""
    if not isinstance(code, str) or not (
        code == "O8" or _NUMBERS.fullmatch(code) or _TEXTS.fullmatch(code)
    ):
        raise ValueError
    return _Type(code)


def _settle(kind: _Type, state: object) -> None:
    """Let the type have the order of bytes that it is given, and nothing else beside that."""
    match state:
        case (3, order, None, None, None, size, _, _) if order in _ORDERS:
            if size != (_size(kind.code) if kind.code[0] == "U" else -1):
                raise ValueError
            kind.is_settled = True
        case _:
            raise ValueError


def _empty_array(subclass: object, *_shape: object) -> Array:
    """``_reconstruct``: an array that is filled afterwards."""
    if not isinstance(subclass, Global) or subclass.full != "numpy.ndarray":
        raise ValueError
    return Array()


def _from_buffer(data: object, kind: object, shape: object, order: object) -> Array:
    """``_frombuffer``: how protocol 5 writes arrays."""
    array = Array()
    array.fill(_code(kind), shape, data, by_column=order == "F")
    return array


def _single(kind: object, data: object) -> Array:
    """``scalar``: one number."""
    array = Array()
    array.fill(_code(kind), (), data, by_column=False)
    return array


def _encoded(text: object, encoding: object) -> bytes:
    """``_codecs.encode``: how protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError
    return text.encode("latin-1")


_CALLS: Mapping[str, Callable[..., Any]] = {
    "numpy.dtype": _type,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _single,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "_codecs.encode": _encoded,
}
"""Calls that are understood; what others make stays an object that nobody looks into."""


def _pushing(make: Callable[[], Any]) -> Callable[[_Reader, object], None]:
    """Push a fresh value."""
    return lambda reader, _: reader.push(make())


def _tuple(size: int) -> Callable[[_Reader, object], None]:
    """A tuple of the last few values."""
    return lambda reader, _: reader.push(tuple(reversed([reader.pop() for _ in range(size)])))


_ACTS: Mapping[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(("PROTO", "STOP", "READONLY_BUFFER"), _Reader.pass_over),
    **dict.fromkeys(
        (
            "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE",
            "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
        ),
        _Reader.push,
    ),
    "NONE": _pushing(lambda: None),
    "NEWTRUE": _pushing(lambda: True),
    "NEWFALSE": _pushing(lambda: False),
    "EMPTY_TUPLE": _pushing(tuple),
    "EMPTY_LIST": _pushing(list),
    "EMPTY_DICT": _pushing(dict),
    "FRAME": _Reader.frame,
    "MARK": _Reader.mark,
    "TUPLE": lambda reader, _: reader.push(tuple(reader.pop_to_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "APPEND": _Reader.append,
    "APPENDS": _Reader.appends,
    "SETITEM": _Reader.set_item,
    "SETITEMS": _Reader.set_items,
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Reader.get),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Reader.put),
    "MEMOIZE": _Reader.memoize,
    "GLOBAL": _Reader.name,
    "STACK_GLOBAL": _Reader.stack_name,
    "NEWOBJ": _Reader.new,
    "REDUCE": _Reader.reduce,
    "BUILD": _Reader.build,
}  # fmt: skip
"""What each instruction does."""
