"""TorchScript archives: the program that they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["code_files"]


def code_files(file: BinaryIO) -> list[str]:
    """Members of the archive that hold its program, sorted.

    Raises:
        ValueError: it is no archive.
    """
    try:
        with ZipFile(file) as archive:
            names = archive.namelist()
    except (BadZipFile, NotImplementedError, RuntimeError) as error:
        msg = f"its list of members cannot be read ({type(error).__name__})"
        raise ValueError(msg) from error
    return sorted(name for name in names if "/code/" in name and name.endswith(".py"))
