"""Archives of TorchScript, torch.package and TorchServe: the program that they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["code_files"]

_OF_PROGRAMS = ("MAR-INF/MANIFEST.json", ".data/extern_modules")
"""Members of an archive of which every Python file is run by its loader: TorchServe's and
torch.package's."""


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
    is_program = any(name.endswith(_OF_PROGRAMS) for name in names)
    code = (name for name in names if name.endswith(".py"))
    return sorted(name for name in code if is_program or "/code/" in name)
