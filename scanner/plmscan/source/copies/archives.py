"""Taking a zip archive apart, within bounds: no file leaves the folder, and none grows for ever."""

from __future__ import annotations

import hashlib
import stat
import zlib
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from plmscan.errors import SourceError, in_one_line
from plmscan.source.copies.shelf import refuse_odd_names
from plmscan.source.room import refuse_small_disk

if TYPE_CHECKING:
    from pathlib import Path
    from zipfile import ZipInfo

__all__ = ["is_archive", "unpacked"]

_CHUNK = 2**20
_MOST_GROWTH = 100
"""Times that an archive may grow, above `_FREE`; weights hardly shrink in one."""
_FREE = 2**30
_NEVER = "Do not unpack it; ask whoever made it."


def is_archive(path: str) -> bool:
    """Whether a name is that of a zip archive."""
    return path.lower().endswith(".zip")


def unpacked(archive: Path, address: str) -> tuple[Path, dict[str, str]]:
    """What ``archive`` holds, in a folder beside it, with the digest of every file.

    Where everything lies in one folder, the model is that folder.

    Raises:
        SourceError: it is no zip archive, or one that nobody should unpack.
    """
    target = archive.parent.parent / "unpacked"
    try:
        with ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _refuse_odd(members, archive.stat().st_size, address)
            refuse_small_disk(target, sum(member.file_size for member in members))
            digests = {m.filename: _extracted(opened, m, target) for m in members}
    except (BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        msg = f"{address} cannot be unpacked: {in_one_line(error, 120)}."
        raise SourceError(msg, "Make the archive again.") from error
    archive.unlink()
    tops = {name.partition("/")[0] for name in digests}
    if len(tops) == 1 and all("/" in name for name in digests):
        (top,) = tops
        return target / top, {n.removeprefix(f"{top}/"): d for n, d in digests.items()}
    return target, digests


def _refuse_odd(members: list[ZipInfo], size: int, address: str) -> None:
    """Refuse an archive that leads out of its folder, or grows without bounds.

    Raises:
        SourceError: it does.
    """
    if not members:
        msg = f"{address} is an archive that holds no files."
        raise SourceError(msg, "Make the archive again.")
    refuse_odd_names([member.filename for member in members], address)
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            msg = f"{address} holds {member.filename}, which is no regular file."
            raise SourceError(msg, _NEVER)
    grown = sum(member.file_size for member in members)
    if grown > _FREE + _MOST_GROWTH * size:
        msg = f"{address} has {size / 1e6:.1f} MB and would grow to {grown / 1e6:.1f} MB."
        raise SourceError(msg, _NEVER)


def _extracted(archive: ZipFile, member: ZipInfo, folder: Path) -> str:
    """Write one file, which its header bounds; its SHA-256."""
    target = folder / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256, left = hashlib.sha256(), member.file_size
    with archive.open(member) as file, target.open("wb") as out:
        while chunk := file.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                msg = f"{member.filename} is longer than the archive says"
                raise BadZipFile(msg)
            sha256.update(chunk)
            out.write(chunk)
    return sha256.hexdigest()
