"""What a pickle would do, followed step by step without doing any of it.

A pickle is a program for a small machine with a stack and a memo.  This one keeps in mind only what
decides which names are imported, called and changed: short texts, tuples, small dictionaries, names
and the results of calls.  Everything else is `DATA`.
"""

from __future__ import annotations

import codecs
import io
import struct
from typing import TYPE_CHECKING, Any

from plmscan.pickles.names import Global, Use, is_enum
from plmscan.pickles.streams import BoundError, BrokenError, Stream, Window
from plmscan.pickles.values import (
    DATA,
    NESTED_TEXTS,
    Blob,
    Made,
    Table,
    is_shape,
    item_size,
    looks_nested,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from plmscan.pickles.streams import Allowance
    from plmscan.pickles.values import Found

__all__ = ["COMPUTED", "Machine"]

COMPUTED = "a function that it computes"
"""How a call is told whose callee is in no constant."""

_LONGEST_NAME = 200
_LONGEST_TEXT = 2**24
_LARGEST_TABLE = 64
_BLOCK = 4096
_MOST_VALUES = 2_000_000
_LARGEST_INTEGER = 8
_LONGEST_INTEGER = 24
_SHORTEST_BLOB = 4
_STOP = ord(".")
_ARRAY_WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")


class Machine:
    """One pickle, followed from its first byte to its STOP."""

    def __init__(
        self,
        stream: Stream,
        allowance: Allowance,
        found: Found,
        nested: Callable[[Stream], bool],
        *,
        has_arrays: bool = True,
    ) -> None:
        """Follow the pickle that ``stream`` starts with.

        Args:
            stream: where it lies.
            allowance: how many steps may be followed.
            found: takes note of the names.
            nested: reads bytes that may be pickles themselves, and says whether they are clean.
            has_arrays: whether arrays lie between the instructions, as joblib writes them.
        """
        self.stream = stream
        self.allowance = allowance
        self.found = found
        self.nested = nested
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.has_arrays = has_arrays
        self.has_protocol = False
        self.saw_arrays = False
        self.is_over = False

    def run(self) -> None:
        """Follow all steps.

        Raises:
            BrokenError: no loader gets further than this.
            BoundError: following it further would take too long.
        """
        next_byte, steps = self.stream.byte, STEPS
        is_over = False
        while not is_over:
            done = 0
            try:
                for done in range(_BLOCK):  # noqa: B007 - counts what was done
                    code = next_byte()
                    if code == _STOP:
                        self._stop()
                        is_over = True
                        break
                    steps[code](self)
            except (IndexError, KeyError, ValueError, OverflowError, struct.error) as error:
                msg = "one of its instructions is unknown, or has nothing to work on"
                raise BrokenError(msg) from error
            finally:
                self.allowance.step(done + 1)
            self._check_size()

    def _check_size(self) -> None:
        """Stop before too much is kept in mind."""
        if len(self.stack) + len(self.memo) + len(self.marks) > _MOST_VALUES:
            msg = "its pickles hold more values than plmscan follows"
            raise BoundError(msg)

    def _stop(self) -> None:
        """STOP: the topmost value is what the pickle holds."""
        if not self.stack:
            raise IndexError
        self.is_over = True

    # Stack and memo -----------------------------------------------------------------------------

    def _pop(self) -> Any:  # noqa: ANN401 - any value
        """The topmost value."""
        if self.marks and self.marks[-1] == len(self.stack):
            raise IndexError
        return self.stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        """All values above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def push(self, value: Any) -> None:  # noqa: ANN401 - any value
        """Push a value."""
        self.stack.append(value)

    def op_none(self) -> None:
        """NONE."""
        self.stack.append(None)

    def op_discard(self) -> None:
        """POP: a value, or a mark where it is the topmost thing."""
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def op_get(self, key: int) -> None:
        """Push what the memo holds."""
        self.stack.append(self.memo[key])

    def op_put(self, key: int) -> None:
        """Keep the topmost value in the memo."""
        self.memo[key] = self.stack[-1]

    # Constants ----------------------------------------------------------------------------------

    def _text(self, raw: bytes) -> None:
        """Push a text."""
        if len(raw) > _LONGEST_NAME:
            self._long_text(raw)
        else:
            self.stack.append(raw.decode("utf-8", "surrogatepass"))

    def _long_text(self, raw: bytes) -> None:
        """Push a text that is no name, but that may be bytes in disguise, as protocol 2 has it."""
        if raw[:8].decode("utf-8", "ignore").startswith(NESTED_TEXTS):
            try:
                plain = raw.decode("utf-8").encode("latin-1")
            except UnicodeError:
                plain = b""
            self.stack.append(self._blob_of(plain))
        else:
            self.stack.append(DATA)

    def op_sized_text(self, size: int) -> None:
        """Push a text of ``size`` bytes."""
        if size > _LONGEST_TEXT:
            self.stream.skip(size)
            self.stack.append(DATA)
        else:
            self._text(self.stream.take(size))

    def op_sized_string(self, size: int) -> None:
        """Push what is text or bytes, as the loader's encoding has it."""
        if size < 0:
            raise ValueError
        if size > _LONGEST_TEXT:
            self.op_sized_bytes(size)
        else:
            self._bytes_text(self.stream.take(size))

    def op_sized_bytes(self, size: int) -> None:
        """Push bytes, once it is clear whether they are a pickle themselves."""
        if size >= _SHORTEST_BLOB and looks_nested(self.stream.peek(min(size, 64))):
            start = self.stream.position
            self.stack.append(Blob(self.nested(self.stream.part(size))))
            self.stream.skip(size - (self.stream.position - start))
        else:
            self.stream.skip(size)
            self.stack.append(DATA)

    def _blob_of(self, data: bytes) -> Any:  # noqa: ANN401 - any value
        """The value of a bytes constant."""
        if len(data) < _SHORTEST_BLOB or not looks_nested(data[:64]):
            return DATA
        return Blob(self.nested(_stream_of(data)))

    def op_string(self) -> None:
        """STRING: a quoted text of protocol 0."""
        line = self.stream.line().strip()
        if len(line) < len("''") or line[:1] not in {b"'", b'"'} or line[-1:] != line[:1]:
            raise ValueError
        self._bytes_text(codecs.escape_decode(line[1:-1])[0])  # type: ignore[arg-type]

    def _bytes_text(self, raw: bytes) -> None:
        """Push what is text or bytes, as the loader's encoding has it."""
        if len(raw) > _LONGEST_NAME or looks_nested(raw[:64]):
            self.stack.append(self._blob_of(raw))
        else:
            self.stack.append(raw.decode("latin-1"))

    def op_unicode(self) -> None:
        """UNICODE: a text of protocol 0, with escapes."""
        self._text(self.stream.line().decode("raw-unicode-escape").encode("utf-8", "surrogatepass"))

    def op_decimal(self) -> None:
        """INT or LONG of protocol 0."""
        line = self.stream.line().strip().rstrip(b"L")
        if len(line) > _LONGEST_INTEGER:
            self.stack.append(DATA)
        else:
            self.stack.append(int(line, 10 if line.lstrip(b"+-").isdigit() else 0))

    def op_float(self) -> None:
        """FLOAT of protocol 0."""
        float(self.stream.line())
        self.stack.append(DATA)

    def op_long(self, size: int) -> None:
        """LONG1 and LONG4."""
        if size < 0:
            raise ValueError
        if size > _LARGEST_INTEGER:
            self.stream.skip(size)
            self.stack.append(DATA)
        else:
            self.stack.append(int.from_bytes(self.stream.take(size), "little", signed=True))

    def op_protocol(self) -> None:
        """PROTO: nothing but a declaration."""
        self.stream.byte()
        self.has_protocol = True

    # Containers ---------------------------------------------------------------------------------

    def op_mark(self) -> None:
        """MARK."""
        self.marks.append(len(self.stack))

    def op_tuple(self) -> None:
        """TUPLE of all above the mark."""
        items = self._pop_to_mark()
        self.stack.append(tuple(items) if len(items) <= _LARGEST_TABLE else DATA)

    def op_small_tuple(self, size: int) -> None:
        """TUPLE1 to TUPLE3."""
        items = [self._pop() for _ in range(size)]
        self.stack.append(tuple(reversed(items)))

    def op_collect(self) -> None:
        """LIST or FROZENSET of all above the mark."""
        self._pop_to_mark()
        self.stack.append(DATA)

    def op_dict(self) -> None:
        """DICT of all above the mark."""
        items = self._pop_to_mark()
        self.stack.append(Table())
        self._set_items(items)

    def op_append(self) -> None:
        """APPEND."""
        self._pop()
        self._changed("appended to")

    def op_appends(self) -> None:
        """APPENDS and ADDITEMS."""
        self._pop_to_mark()
        self._changed("appended to")

    def op_set_item(self) -> None:
        """SETITEM."""
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def op_set_marked(self) -> None:
        """SETITEMS."""
        self._set_items(self._pop_to_mark())

    def _set_items(self, items: list[Any]) -> None:
        """Put keys and values into the topmost dictionary."""
        target = self._changed("changed")
        if isinstance(target, Table):
            for key, value in zip(items[::2], items[1::2], strict=False):
                if isinstance(key, str) and len(target.items) < _LARGEST_TABLE:
                    target.items[key] = value

    def _changed(self, how: str) -> Any:  # noqa: ANN401 - any value
        """The topmost value, which is about to be changed; no name may be."""
        target = self.stack[-1]
        if isinstance(target, Global):
            self.found.act(f"{target.shown} ({how})")
        return target

    # Names and calls ----------------------------------------------------------------------------

    def op_global(self) -> None:
        """GLOBAL: two lines."""
        module, name = self.stream.line(), self.stream.line()
        self._name(module.decode("utf-8").strip(), name.decode("utf-8").strip())

    def op_stack_global(self) -> None:
        """STACK_GLOBAL: two texts."""
        name, module = self._pop(), self._pop()
        if isinstance(name, str) and isinstance(module, str):
            self._name(module, name)
        else:
            self.found.act(COMPUTED)
            self.stack.append(Made(None))

    def _name(self, module: str, name: str) -> None:
        """Push a name."""
        item = Global.of(module[:_LONGEST_NAME], name[:_LONGEST_NAME])
        self.found.use(item, Use.MENTION)
        self.stack.append(item)

    def op_extension(self, size: int) -> None:
        """EXT1, EXT2 and EXT4: a name by the number that a program gave it."""
        code = int.from_bytes(self.stream.take(size), "little")
        self.found.act(f"extension {code} of the loading program")
        self.stack.append(Made(None))

    def op_inst(self) -> None:
        """INST: a class in two lines, called with all above the mark."""
        self.op_global()
        callee = self.stack.pop()
        self.stack.append(self._call(callee, tuple(self._pop_to_mark())))

    def op_obj(self) -> None:
        """OBJ: a class and its arguments above the mark."""
        callee, *arguments = self._pop_to_mark()
        self.stack.append(self._call(callee, tuple(arguments)))

    def op_newobj(self) -> None:
        """NEWOBJ: an object without its constructor."""
        self._pop()
        self.stack.append(self._made_without_constructor(self._pop()))

    def op_newobj_ex(self) -> None:
        """NEWOBJ_EX: the same with keywords."""
        self._pop()
        self.op_newobj()

    def op_reduce(self) -> None:
        """REDUCE: a call."""
        arguments, callee = self._pop(), self._pop()
        self.stack.append(self._call(callee, arguments if isinstance(arguments, tuple) else None))

    def _call(self, callee: Any, arguments: tuple[Any, ...] | None) -> Any:  # noqa: ANN401 - any value
        """What a call makes."""
        if not isinstance(callee, Global):
            self.found.act(COMPUTED)
            return Made(None)
        known = "newObj" if callee.name == "newObj" else callee.full
        special = _SPECIAL.get(known) if arguments is not None else None
        if special is not None:
            return special(self, callee, arguments)
        self.found.use(callee, Use.CALL)
        return Made(callee, arguments or ())

    def _made_without_constructor(self, callee: Any) -> Any:  # noqa: ANN401 - any value
        """An object of a class."""
        if not isinstance(callee, Global):
            self.found.act(COMPUTED)
            return Made(None)
        self.found.use(callee, Use.BUILD)
        return Made(callee)

    def op_build(self) -> None:
        """BUILD: the state of the topmost value."""
        state = self._pop()
        target = self._changed("its state is set")
        if isinstance(target, Made):
            target.state = state
            if target.by == _ARRAY_WRAPPER:
                self.saw_arrays = True
                if self.has_arrays:
                    self._inline_array(state)

    def op_persistent(self) -> None:
        """PERSID: something that the loader keeps elsewhere, such as a tensor's storage."""
        self.stream.line()
        self.stack.append(DATA)

    def op_bin_persistent(self) -> None:
        """BINPERSID: the same."""
        self._pop()
        self.stack.append(DATA)

    def op_pop_mark(self) -> None:
        """POP_MARK: everything above the mark."""
        self._pop_to_mark()

    def op_memoize(self) -> None:
        """MEMOIZE: the next place of the memo."""
        self.op_put(len(self.memo))

    def op_duplicate(self) -> None:
        """DUP."""
        self.stack.append(self.stack[-1])

    def op_ignore(self, _size: int = 0) -> None:
        """A frame's length decides nothing, and a read-only buffer is like any other."""

    # Calls that are followed --------------------------------------------------------------------

    def call_reconstructor(self, callee: Global, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """``copyreg._reconstructor`` and its like: an object of the class that comes first."""
        self.found.use(callee, Use.CALL if callee.name == "newObj" else Use.MENTION)
        return self._made_without_constructor(arguments[0] if arguments else DATA)

    def call_getattr(self, callee: Global, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """``getattr``: a member of an enumeration, or a dotted name in two pieces."""
        match arguments:
            case (Global() as owner, str() as name):
                if is_enum(owner) and not name.startswith("_") and "." not in name:
                    return Made(owner)
                item = Global(owner.module, f"{owner.name}.{name[:_LONGEST_NAME]}")
                self.found.use(item, Use.MENTION)
                self.found.has_calls = True
                return item
            case _:
                self.found.use(callee, Use.CALL)
                return Made(callee)

    def call_type(self, callee: Global, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """``type``: of one value, its class; of three, a class that is made up."""
        self.found.use(callee, Use.MENTION if len(arguments) == 1 else Use.CALL)
        return Made(callee)

    def call_from_type(self, callee: Global, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """``torch._tensor._rebuild_from_type_v2`` calls the function that it is given."""
        self.found.use(callee, Use.CALL)
        function, *_ = arguments or (DATA,)
        given = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], tuple) else None  # noqa: PLR2004 - the third
        return self._call(function, given)

    def call_load_from_bytes(self, callee: Global, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """``torch.storage._load_from_bytes`` unpickles: harmless if what it unpickles is."""
        match arguments:
            case (Blob(is_clean=True),):
                self.found.has_calls = True
            case _:
                self.found.use(callee, Use.CALL)
        return DATA

    def call_encode(self, callee: Global, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """``_codecs.encode``: how protocol 2 writes bytes."""
        self.found.use(callee, Use.CALL)
        match arguments:
            case (Blob() as blob, *_):
                return blob
            case (str() as text, *_):
                return self._blob_of(text.encode("latin-1", "ignore"))
            case _:
                return DATA

    # Arrays between the instructions ------------------------------------------------------------

    def _inline_array(self, state: Any) -> None:  # noqa: ANN401 - any value
        """Pass over the array that joblib writes behind its wrapper, or follow its pickle."""
        items = state.items if isinstance(state, Table) else {}
        size, holds_objects = item_size(items.get("dtype"))
        shape = items.get("shape")
        if holds_objects:
            # Its pickle is read by pickle itself, which knows of no arrays in between.
            machine = Machine(
                self.stream, self.allowance, self.found, self.nested, has_arrays=False
            )
            machine.run()
            return
        if size is None or not isinstance(shape, tuple) or not is_shape(shape):
            msg = "it holds an array of a kind that plmscan does not know"
            raise BrokenError(msg)
        if items.get("numpy_array_alignment_bytes") is not None:
            self.stream.skip(self.stream.byte())
        for length in shape:
            size *= length
        self.stream.skip(size)


def _short(act: Callable[[Machine, int], None]) -> Callable[[Machine], None]:
    """``act`` on the number that the next byte is."""

    def step(machine: Machine) -> None:
        act(machine, machine.stream.byte())

    return step


def _sized(form: str, act: Callable[[Machine, int], None]) -> Callable[[Machine], None]:
    """``act`` on as many bytes as a number in front of them says."""
    number = struct.Struct(form)

    def step(machine: Machine) -> None:
        act(machine, number.unpack(machine.stream.take(number.size))[0])

    return step


def _named(act: Callable[[Machine, int], None]) -> Callable[[Machine], None]:
    """``act`` on the place of the memo that a line names."""

    def step(machine: Machine) -> None:
        act(machine, int(machine.stream.line()))

    return step


def _with(act: Callable[[Machine, int], None], number: int) -> Callable[[Machine], None]:
    """``act`` on a number that the instruction itself stands for."""

    def step(machine: Machine) -> None:
        act(machine, number)

    return step


def _pushing(make: Callable[[], Any], size: int = 0) -> Callable[[Machine], None]:
    """Push a fresh value, whose ``size`` bytes need not be known."""

    def step(machine: Machine) -> None:
        if size:
            machine.stream.take(size)
        machine.stack.append(make())

    return step


def _integer(form: str) -> Callable[[Machine], None]:
    """Push a number."""
    number = struct.Struct(form)

    def step(machine: Machine) -> None:
        machine.stack.append(number.unpack(machine.stream.take(number.size))[0])

    return step


def _data() -> Any:  # noqa: ANN401 - any value
    """A value of which nothing has to be known."""
    return DATA


def _stream_of(data: bytes) -> Stream:
    """``data`` as a stream that can also be read in another order."""
    return Window(io.BytesIO(data), 0, len(data)).stream()


_M = Machine
_BY_CODE: dict[bytes, Callable[[Machine], None]] = {
    b"(": _M.op_mark,
    b"0": _M.op_discard,
    b"1": _M.op_pop_mark,
    b"2": _M.op_duplicate,
    b"F": _M.op_float,
    b"I": _M.op_decimal,
    b"J": _integer("<i"),
    b"K": _short(_M.push),
    b"M": _integer("<H"),
    b"L": _M.op_decimal,
    b"N": _M.op_none,
    b"P": _M.op_persistent,
    b"Q": _M.op_bin_persistent,
    b"R": _M.op_reduce,
    b"S": _M.op_string,
    b"T": _sized("<i", _M.op_sized_string),
    b"U": _short(_M.op_sized_string),
    b"V": _M.op_unicode,
    b"X": _sized("<I", _M.op_sized_text),
    b"a": _M.op_append,
    b"b": _M.op_build,
    b"c": _M.op_global,
    b"d": _M.op_dict,
    b"}": _pushing(Table),
    b"e": _M.op_appends,
    b"g": _named(_M.op_get),
    b"h": _short(_M.op_get),
    b"j": _sized("<I", _M.op_get),
    b"i": _M.op_inst,
    b"l": _M.op_collect,
    b"]": _pushing(_data),
    b"o": _M.op_obj,
    b"p": _named(_M.op_put),
    b"q": _short(_M.op_put),
    b"r": _sized("<I", _M.op_put),
    b"s": _M.op_set_item,
    b"t": _M.op_tuple,
    b")": _pushing(tuple),
    b"u": _M.op_set_marked,
    b"G": _pushing(_data, 8),
    b"\x80": _M.op_protocol,
    b"\x81": _M.op_newobj,
    b"\x82": _with(_M.op_extension, 1),
    b"\x83": _with(_M.op_extension, 2),
    b"\x84": _with(_M.op_extension, 4),
    b"\x85": _with(_M.op_small_tuple, 1),
    b"\x86": _with(_M.op_small_tuple, 2),
    b"\x87": _with(_M.op_small_tuple, 3),
    b"\x88": _pushing(lambda: True),
    b"\x89": _pushing(lambda: False),
    b"\x8a": _short(_M.op_long),
    b"\x8b": _sized("<i", _M.op_long),
    b"B": _sized("<I", _M.op_sized_bytes),
    b"C": _short(_M.op_sized_bytes),
    b"\x8c": _short(_M.op_sized_text),
    b"\x8d": _sized("<Q", _M.op_sized_text),
    b"\x8e": _sized("<Q", _M.op_sized_bytes),
    b"\x8f": _pushing(_data),
    b"\x90": _M.op_appends,
    b"\x91": _M.op_collect,
    b"\x92": _M.op_newobj_ex,
    b"\x93": _M.op_stack_global,
    b"\x94": _M.op_memoize,
    b"\x95": _sized("<Q", _M.op_ignore),
    b"\x96": _sized("<Q", _M.op_sized_bytes),
    b"\x97": _pushing(_data),
    b"\x98": _M.op_ignore,
}
STEPS = {code[0]: step for code, step in _BY_CODE.items()}
"""What each instruction does, but for STOP."""

_SPECIAL: dict[str, Callable[[Machine, Global, tuple[Any, ...]], Any]] = {
    "copyreg._reconstructor": _M.call_reconstructor,
    "copyreg.__newobj__": _M.call_reconstructor,
    "copyreg.__newobj_ex__": _M.call_reconstructor,
    "newObj": _M.call_reconstructor,
    "builtins.getattr": _M.call_getattr,
    "builtins.type": _M.call_type,
    "torch._tensor._rebuild_from_type_v2": _M.call_from_type,
    "torch.storage._load_from_bytes": _M.call_load_from_bytes,
    "_codecs.encode": _M.call_encode,
}
"""Calls that are followed into what they are given."""
