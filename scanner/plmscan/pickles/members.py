"""What lies in archives and compressed files, for those who look for other things than pickles."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, BinaryIO, cast

from plmscan.pickles.contents import Reader
from plmscan.pickles.streams import Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plmscan.pickles.streams import Allowance, Stream

__all__ = ["walk"]

_START = 4096
_IN_MEMORY = 2**24
_PIECE = 2**16


def walk(
    path: Path,
    allowance: Allowance,
    wants: Callable[[str, bytes], bool],
    visit: Callable[[str, BinaryIO, int], None],
) -> None:
    """Show the members of the archive at ``path``, and of archives in it.

    What cannot be read is passed over: `plmscan.pickles.read` goes the same way and says why.

    Args:
        path: the file.
        allowance: how much work it may cause.
        wants: whether a member of this name that begins so is of interest; all are asked for.
        visit: takes the name, the open member, and its size.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        _Walker(allowance, wants, visit).read(Window(file, 0, size).stream(), "")


class _Walker(Reader):
    """Goes where pickles are looked for, and shows what is there."""

    def __init__(
        self,
        allowance: Allowance,
        wants: Callable[[str, bytes], bool],
        visit: Callable[[str, BinaryIO, int], None],
    ) -> None:
        """Nothing was shown yet."""
        super().__init__(allowance)
        self._wants = wants
        self._visit = visit

    def take_whole(self, stream: Stream, place: str) -> None:
        """What holds members is none itself."""

    def take(self, stream: Stream, place: str, *, is_named_pickle: bool) -> None:
        """Show one member; a file that is no archive has none."""
        is_inside = bool(place) or stream.window is None
        if is_named_pickle or not is_inside or not self._wants(place, stream.peek(_START)):
            return
        if stream.window is not None:
            whole = stream.window.part(0, stream.window.size)
            self._visit(place, cast("BinaryIO", whole), whole.size)
            return
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as copy:
            while data := stream.read(_PIECE):
                self.allowance.unpack(len(data))
                copy.write(data)
            size = copy.tell()
            copy.seek(0)
            self._visit(place, cast("BinaryIO", copy), size)
