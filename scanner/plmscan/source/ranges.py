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

from plmscan.errors import PlmscanError, in_one_line
from plmscan.whole_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["RangeFile", "Ranges", "UnreadError"]

_BLOCK = 2**14
"""Bytes of a block: the least that is asked for."""
_FIRST = 4
"""Blocks that are asked for at once at the start of a file: it tells what the file is."""
_LONGEST_RUN = 64
"""The same, where a file is read from one block to the next."""
_MOST_BYTES = 2**25
"""That are fetched of one file."""
_MOST_READS = 2_000_000
"""How often one file is read in: a broken one may lead round in circles."""
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
                problem = in_one_line(error, 200)
        msg = f"The Hub did not deliver a part of it ({problem})."
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
        self._reads = 0
        self._run, self._behind = _FIRST // 2, 0

    def keep_no_more(self) -> None:
        """What is fetched from now on stays in memory only."""
        self._kept = None

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
        self._count()
        first, last = self._at // _BLOCK, (stop - 1) // _BLOCK
        self._fetch(first, last)
        data = b"".join(self._blocks[number] for number in range(first, last + 1))
        found = data[self._at - first * _BLOCK : stop - first * _BLOCK]
        self._at = stop
        return found

    def _count(self) -> None:
        """One read more.

        Raises:
            UnreadError: there were too many.
        """
        self._reads += 1
        if self._reads > _MOST_READS:
            msg = "It is broken: reading it comes to no end."
            raise UnreadError(msg)

    def _fetch(self, first: int, last: int) -> None:
        """Make sure that the blocks are here, in one request for each run of them."""
        most = _MOST_BYTES // _BLOCK
        missing = [n for n in range(first, min(last, first + most) + 1) if not self._find(n)]
        while missing:
            run = self._run_from(missing)
            if len(self._blocks) + len(run) > most:
                msg = f"More than {_MOST_BYTES >> 20} MB of it would have to be read."
                raise UnreadError(msg)
            data = self._ask(run[0] * _BLOCK, min(self._size, (run[-1] + 1) * _BLOCK))
            for i, number in enumerate(run):
                self._keep(number, data[i * _BLOCK : (i + 1) * _BLOCK])
            missing = [number for number in missing if number > run[-1]]

    def _run_from(self, missing: Sequence[int]) -> range:
        """The blocks to ask for next: more and more where one follows the other."""
        first, count = missing[0], len([n for i, n in enumerate(missing) if n == missing[0] + i])
        self._run = min(2 * self._run, _LONGEST_RUN) if first == self._behind else 1
        end = min(-(-self._size // _BLOCK), first + max(count, self._run))
        known = (n for n in range(first, end) if n in self._blocks)
        self._behind = next(known, end)
        return range(first, self._behind)

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
            replace_file(self._kept / str(number), data)
