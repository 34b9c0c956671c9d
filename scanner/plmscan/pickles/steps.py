"""The instructions of pickles, by their codes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from plmscan.pickles.machine import Machine
from plmscan.pickles.streams import BoundError, BrokenError
from plmscan.pickles.values import DATA, Table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Follower"]

_BLOCK = 4096
"""Steps after which the bounds are looked at."""
_MOST_VALUES = 2_000_000
_STOP = ord(".")


class Follower(Machine):
    """One pickle, followed from its first byte to its STOP."""

    def run(self) -> None:
        """Follow all steps.

        Raises:
            BrokenError: no loader gets further than this.
            BoundError: following it further would take too long.
        """
        next_byte, steps = self.stream.byte, _STEPS
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
                    if self.frame_end is not None and self.stream.position >= self.frame_end:
                        self.leave_frame()
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


def _data() -> Any:  # noqa: ANN401
    """A value of which nothing has to be known."""
    return DATA


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
    b"\x95": _sized("<Q", _M.op_frame),
    b"\x96": _sized("<Q", _M.op_sized_bytes),
    b"\x97": _pushing(_data),
    b"\x98": _M.op_read_only,
}
_STEPS = {code[0]: step for code, step in _BY_CODE.items()}
"""What each instruction does, but for STOP."""
