"""Object stores and web servers, through fsspec: ``s3://``, ``gs://``, ``az://``, ``https://``."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from plmscan.errors import ModelNotFoundError, SourceError, in_one_line
from plmscan.source.copies.archives import is_archive, unpacked
from plmscan.source.copies.shelf import MOST_FILES, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Store"]

_CHUNK = 2**22
_LOCAL = frozenset({"file", "local"})
_WEB = frozenset({"http", "https"})
_MARKS = (
    "ETag", "etag", "md5", "md5Hash", "content_md5", "crc32c", "generation", "LastModified",
    "last_modified", "updated", "mtime", "created",
)  # fmt: skip
"""What the drivers of fsspec call something that changes with the content."""


class Store:
    """What is behind an address of fsspec: the files of a folder, or one archive."""

    def __init__(self, address: str) -> None:
        """Ask nobody yet.

        Raises:
            SourceError: it is no address that can be asked.
        """
        self.address = address
        self._scheme = urlsplit(address).scheme
        self._refuse_odd()
        self._files, self._path = self._found()

    def entries(self) -> list[Entry]:
        """The files that are there."""
        try:
            if self._is_archive:
                info = self._files.info(self._path)
                return [self._entry(posixpath.basename(self._path), info)]
            found = self._files.find(self._path, detail=True, maxdepth=None)
        except Exception as error:
            raise self._failure(error) from error
        if not found:
            msg = f"There is nothing at {self.address}."
            raise ModelNotFoundError(msg, "Check the address and who may read there.")
        if len(found) > MOST_FILES:
            msg = f"{self.address} holds more than {MOST_FILES} files."
            raise SourceError(msg, "Name the folder of one model.")
        start = f"{self._path.rstrip('/')}/"
        return [
            self._entry(str(name).removeprefix(start).lstrip("/"), info)
            for name, info in found.items()
        ]

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """What a file holds."""
        path = self._path if self._is_archive else f"{self._path.rstrip('/')}/{entry.path}"
        try:
            with self._files.open(path, "rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except Exception as error:
            raise self._failure(error) from error

    def arrange(self, folder: Path, digests: dict[str, str]) -> tuple[Path, dict[str, str]]:
        """The files as they came, or what the archive holds."""
        if not self._is_archive:
            return folder, digests
        (name,) = digests
        return unpacked(folder / name, self.address)

    @property
    def _is_archive(self) -> bool:
        """Whether the address is that of an archive."""
        return is_archive(self._path)

    def _refuse_odd(self) -> None:
        """Refuse what is no address of a model, or would show a secret in every report.

        Raises:
            SourceError: it is.
        """
        parts = urlsplit(self.address)
        if "::" in self.address:
            problem, remedy = "is a chain of addresses", "Name where the model itself lies."
        elif self._scheme in _LOCAL:
            problem, remedy = "is a file of this machine", "Name its folder by its path."
        elif "@" in parts.netloc or parts.query or parts.fragment:
            problem = "holds more than a place, and reports show it"
            remedy = "Give keys and tokens as the store's own tools take them, not in the address."
        elif self._scheme in _WEB and not is_archive(parts.path):
            problem, remedy = "is no archive", "A web server lists no files: name a .zip."
        else:
            return
        msg = f"The address {parts.scheme}://{parts.hostname or ''}{parts.path} {problem}."
        raise SourceError(msg, remedy)

    def _found(self) -> tuple[Any, str]:
        """The driver of the store, and the path as it wants it.

        Raises:
            SourceError: there is no such driver, or it is not installed.
        """
        import fsspec  # noqa: PLC0415 - folders and Hub models need none

        try:
            driver = fsspec.get_filesystem_class(self._scheme)
            files = fsspec.filesystem(self._scheme, use_listings_cache=False)
        except ImportError as error:
            msg = f"{self.address} needs a library that is not installed: {in_one_line(error)}."
            raise SourceError(msg, "Install it with pip install 'plmscan[stores]'.") from error
        except Exception as error:
            raise self._failure(error) from error
        return files, str(driver._strip_protocol(self.address))  # noqa: SLF001 - as fsspec does

    def _entry(self, path: str, info: Mapping[str, Any]) -> Entry:
        """A file of a listing.

        Raises:
            SourceError: nobody knows how large it is.
        """
        size = info.get("size")
        if type(size) is not int or size < 0:
            msg = f"{self.address} does not tell how large {path} is."
            raise SourceError(msg, "Use a store that does.")
        marks = (str(info[name]) for name in _MARKS if info.get(name))
        return Entry(path, size, next(marks, None))

    def _failure(self, error: Exception) -> SourceError:
        """What went wrong, as a sentence."""
        if isinstance(error, SourceError):
            return error
        reason = in_one_line(error, 200)
        if isinstance(error, FileNotFoundError):
            msg = f"There is nothing at {self.address}."
            return ModelNotFoundError(msg, "Check the address and who may read there.")
        msg = f"{self.address} cannot be read: {type(error).__name__}: {reason}."
        return SourceError(msg, "Check the network, and that its keys are set and may read there.")
