"""Parts of a large file of the Hub: read over the network once, and kept beside the cache.

A `RangeFile` is a file of which only those blocks arrive that somebody reads.  The blocks are kept
in the model's folder of the cache, by the identity that the Hub's listing gives to the content, so
that a scan without network knows as much as the one before it.
"""

from __future__ import annotations

import io
from contextlib import contextmanager, suppress
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub import get_session

from plmscan.errors import PlmscanError
from plmscan.whole_files import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["RangeFile", "Ranges", "UnreadError"]

_BLOCK = 2**16
"""Bytes that are asked for at once; formats tell themselves by less."""
_MOST_BYTES = 2**25
"""That are read of one file."""
_ATTEMPTS = 2
_PATIENCE = 3
"""How many files may fail one after the other before the Hub is asked no more."""


class UnreadError(Exception):
    """A part of a file cannot be read; the words say why, as a sentence."""


class WholeOnlyError(UnreadError):
    """The server sends the whole file where a part was asked for, as the Hub may with text."""


class Ranges:
    """Asks one server for parts of files, and stops when it does not deliver."""

    def __init__(self, headers: Mapping[str, str], *, silent: bool) -> None:
        """Ask with these headers; ``silent`` asks nobody."""
        self._headers = {**headers, "Accept-Encoding": "identity"}
        self._silent = silent
        self._lock = Lock()
        self._failures = 0

    def read(self, url: str, start: int, stop: int, size: int) -> bytes:
        """Bytes ``start`` to ``stop`` of the file of ``size`` bytes at ``url``.

        Raises:
            UnreadError: they did not come.
        """
        if self._silent:
            msg = "The cache does not hold the parts of it that tell what it is."
            raise UnreadError(msg)
        if self._failures >= _PATIENCE:
            msg = "The Hub did not deliver parts of other files, and was not asked for this one."
            raise UnreadError(msg)
        with self._counted():
            return self._ask(url, start, stop, size)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count failures that follow each other."""
        try:
            yield
        except WholeOnlyError:
            raise
        except UnreadError:
            with self._lock:
                self._failures += 1
            raise
        with self._lock:
            self._failures = 0

    def _ask(self, url: str, start: int, stop: int, size: int) -> bytes:
        """Send the request, once more if the connection breaks."""
        headers = {**self._headers, "Range": f"bytes={start}-{stop - 1}"}
        problem = ""
        for _ in range(_ATTEMPTS):
            try:
                with get_session().stream("GET", url, headers=headers) as response:
                    _refuse_other_answers(response, start, stop, size)
                    return _body(response, stop - start)
            except PlmscanError as error:
                raise UnreadError(error.problem) from error
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                problem = " ".join(str(error).split()) or type(error).__name__
        msg = f"The Hub did not deliver a part of it ({problem[:200]})."
        raise UnreadError(msg)


def _refuse_other_answers(response: httpx2.Response, start: int, stop: int, size: int) -> None:
    """Refuse an answer that is not the range that was asked for, before its body is read.

    Raises:
        UnreadError: it is another.
    """
    status = response.status_code
    if status == HTTPStatus.OK:
        msg = "The server sends whole files only, not parts of them."
        raise WholeOnlyError(msg)
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        msg = "The server says that the file is shorter than the Hub's listing says (416)."
        raise UnreadError(msg)
    if status != HTTPStatus.PARTIAL_CONTENT:
        msg = f"The server does not send a part of it (status {status})."
        raise UnreadError(msg)
    told = response.headers.get("content-range", "")
    if told != f"bytes {start}-{stop - 1}/{size}" or "content-encoding" in response.headers:
        msg = f"The server sends another part of it than was asked for ({told[:60]!r})."
        raise UnreadError(msg)


def _body(response: httpx2.Response, size: int) -> bytes:
    """The body of an answer, which must have ``size`` bytes.

    Raises:
        UnreadError: it has more or fewer.
    """
    found = bytearray()
    for chunk in response.iter_raw():
        found += chunk
        if len(found) > size:
            break
    if len(found) != size:
        msg = "The server sends a part of it of another length than it says."
        raise UnreadError(msg)
    return bytes(found)


class RangeFile(io.RawIOBase):
    """A file of the Hub as an open file; a block is fetched when somebody first reads in it."""

    def __init__(self, size: int, ask: Callable[[int, int], bytes], kept: Path | None) -> None:
        """A file of ``size`` bytes, whose blocks ``ask`` fetches and a folder keeps, if any."""
        self._size = size
        self._ask = ask
        self._kept = kept
        self._blocks: dict[int, bytes] = {}
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """All of the next ``size`` bytes, or those up to the end.

        Raises:
            UnreadError: they cannot be had.
        """
        stop = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if stop <= self._at:
            return b""
        first, last = self._at // _BLOCK, (stop - 1) // _BLOCK
        self._fetch(first, last)
        data = b"".join(self._blocks[number] for number in range(first, last + 1))
        found = data[self._at - first * _BLOCK : stop - first * _BLOCK]
        self._at = stop
        return found

    def _fetch(self, first: int, last: int) -> None:
        """Make sure that the blocks are here, in one request for each run of them."""
        most = _MOST_BYTES // _BLOCK
        asked = range(first, min(last, first + most) + 1)
        if len(self._blocks.keys() | set(asked)) > most:
            msg = f"More than {_MOST_BYTES >> 20} MB of it would have to be read."
            raise UnreadError(msg)
        missing = [number for number in asked if not self._find(number)]
        while missing:
            run = [n for i, n in enumerate(missing) if n == missing[0] + i]
            missing = missing[len(run) :]
            start, stop = run[0] * _BLOCK, min(self._size, (run[-1] + 1) * _BLOCK)
            data = self._ask(start, stop)
            for i, number in enumerate(run):
                self._keep(number, data[i * _BLOCK : (i + 1) * _BLOCK])

    def _length(self, number: int) -> int:
        """How many bytes the block has."""
        return min(_BLOCK, self._size - number * _BLOCK)

    def _find(self, number: int) -> bool:
        """Whether the block is here, or was kept, and whole."""
        if number in self._blocks or self._kept is None:
            return number in self._blocks
        with suppress(OSError):
            data = (self._kept / str(number)).read_bytes()
            if len(data) == self._length(number):
                self._blocks[number] = data
        return number in self._blocks

    def _keep(self, number: int, data: bytes) -> None:
        """Remember the block, on disk where that is possible."""
        self._blocks[number] = data
        if self._kept is None:
            return
        with suppress(OSError):
            self._kept.mkdir(parents=True, exist_ok=True)
            part = beside(self._kept / str(number))
            part.write_bytes(data)
            part.replace(self._kept / str(number))
