"""What a pickle would do, followed step by step without doing any of it.

A pickle is a program for a small machine with a stack and a memo.  This one keeps in mind only what
decides which names are imported, called and changed: short texts, tuples, small dictionaries, names
and the results of calls.  Everything else is `DATA`.
"""

from __future__ import annotations

import codecs
import io
from abc import ABC, abstractmethod
from types import NoneType
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from plmscan.pickles.names import Global, Use, is_enum, permission
from plmscan.pickles.streams import BrokenError, Stream, Window
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

_BROKEN_FRAME = "instructions across its frames"
_LONGEST_NAME = 200
_LONGEST_TEXT = 2**24
_LARGEST_TABLE = 64
_LARGEST_INTEGER = 8
_LONGEST_INTEGER = 24
_SHORTEST_BLOB = 4
_ARRAY_WRAPPERS = (
    Global("joblib.numpy_pickle", "NumpyArrayWrapper"),
    Global("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"),
)


class Machine(ABC):
    """What the instructions of a pickle do; `Follower` knows their codes."""

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
        self.frame_end: int | None = None
        self.is_over = False

    @abstractmethod
    def run(self) -> None:
        """Follow all steps.

        Raises:
            BrokenError: no loader gets further than this.
            BoundError: following it further would take too long.
        """

    # Stack and memo -----------------------------------------------------------------------------

    def _pop(self) -> Any:  # noqa: ANN401
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

    def push(self, value: Any) -> None:  # noqa: ANN401
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

    def _blob_of(self, data: bytes) -> Any:  # noqa: ANN401
        """The value of a bytes constant."""
        if len(data) < _SHORTEST_BLOB or not looks_nested(data[:64]):
            return DATA
        return Blob(self.nested(_stream_of(data)))

    def op_string(self) -> None:
        """STRING: a quoted text of protocol 0."""
        line = self.stream.line().strip()
        if len(line) < len("''") or line[:1] not in {b"'", b'"'} or line[-1:] != line[:1]:
            raise ValueError
        self._bytes_text(_unescaped(line[1:-1]))

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

    def _changed(self, how: str) -> Any:  # noqa: ANN401
        """The topmost value, which is about to be changed; no name may be."""
        target = self.stack[-1]
        if isinstance(target, Global):
            self.found.act(f"{target.shown} ({how})")
        return target

    # Names and calls ----------------------------------------------------------------------------

    def op_global(self) -> None:
        """GLOBAL: two lines."""
        module, name = self.stream.line(), self.stream.line()
        self._name(module.decode("utf-8"), name.decode("utf-8"))

    def op_stack_global(self) -> None:
        """STACK_GLOBAL: two texts."""
        name, module = self._pop(), self._pop()
        if isinstance(name, str) and isinstance(module, str):
            self._name(module, name)
        elif _is_no_text(name) or _is_no_text(module):
            msg = "one of its names is no text"
            raise BrokenError(msg)
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

    def _call(self, callee: Any, arguments: tuple[Any, ...] | None) -> Any:  # noqa: ANN401
        """What a call makes."""
        if not isinstance(callee, Global):
            self.found.act(COMPUTED)
            return Made(None)
        known = "newObj" if callee.name == "newObj" else callee.full
        special = _SPECIAL.get(known)
        if special is not None and arguments is not None:
            return special(self, callee, arguments)
        self.found.use(callee, Use.CALL)
        return Made(callee, arguments or ())

    def _made_without_constructor(self, callee: Any) -> Any:  # noqa: ANN401
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
            if target.by in _ARRAY_WRAPPERS:
                self.saw_arrays = True
                if self.has_arrays:
                    self.leave_frame()
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

    def op_frame(self, size: int) -> None:
        """FRAME: how many bytes belong together, which honest instructions never cross.

        Where one does, the unpicklers of Python drop or refuse bytes, each in its own way, so that
        a number or a name can be another one than it seems.
        """
        if self.frame_end is not None:
            self.found.act(_BROKEN_FRAME)
        self.frame_end = self.stream.position + size

    def leave_frame(self) -> None:
        """Take note that the frame is over, or that an instruction or an array crosses its end."""
        if self.frame_end is not None and self.stream.position != self.frame_end:
            self.found.act(_BROKEN_FRAME)
        self.frame_end = None

    def op_read_only(self) -> None:  # noqa: B027 - it is what this instruction does
        """READONLY_BUFFER: the topmost value stays what it is."""

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

    def call_partial(self, callee: Global, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """``functools.partial`` of a name: a value like any other, unless the pickle calls it."""
        match arguments:
            case (Global(), *_):
                self.found.use(callee, Use.MENTION)
                return Made(None)
            case _:
                self.found.use(callee, Use.CALL)
                return Made(callee)

    def call_from_type(self, callee: Global, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """``torch._tensor._rebuild_from_type_v2`` calls the function that it is given."""
        self.found.use(callee, Use.CALL)
        match arguments:
            case (function, _, tuple() as given, *_):
                return self._call(function, given)
            case (function, *_):
                return self._call(function, None)
            case _:
                return Made(callee)

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

    def _inline_array(self, state: Any) -> None:  # noqa: ANN401
        """Pass over the array that joblib writes behind its wrapper, or follow its pickle."""
        items = state.items if isinstance(state, Table) else {}
        size, holds_objects = item_size(items.get("dtype"))
        shape = items.get("shape")
        if holds_objects:
            # Its pickle is read by pickle itself, which knows of no arrays in between.
            machine = type(self)(
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


def _is_no_text(value: Any) -> bool:  # noqa: ANN401
    """Whether it is certainly no text: another constant, or an object of an allowed class."""
    if isinstance(value, Made):
        made = value.by
        return made is not None and made.name[:1].isupper() and permission(made) is not None
    return isinstance(value, (Global, int, float, tuple, NoneType, Table))


def _unescaped(text: bytes) -> bytes:
    """What the escapes in a quoted text stand for."""
    if b"\\" not in text:
        return text
    with catch_warnings():
        simplefilter("ignore")  # Python has a say about escapes that mean nothing
        return codecs.escape_decode(text)[0]


def _stream_of(data: bytes) -> Stream:
    """``data`` as a stream that can also be read in another order."""
    return Window(io.BytesIO(data), 0, len(data)).stream()


_SPECIAL: dict[str, Callable[[Machine, Global, tuple[Any, ...]], Any]] = {
    "copyreg._reconstructor": Machine.call_reconstructor,
    "copyreg.__newobj__": Machine.call_reconstructor,
    "copyreg.__newobj_ex__": Machine.call_reconstructor,
    "newObj": Machine.call_reconstructor,
    "builtins.getattr": Machine.call_getattr,
    "builtins.type": Machine.call_type,
    "functools.partial": Machine.call_partial,
    "torch._tensor._rebuild_from_type_v2": Machine.call_from_type,
    "torch.storage._load_from_bytes": Machine.call_load_from_bytes,
    "_codecs.encode": Machine.call_encode,
}
"""Calls that are followed into what they are given."""
