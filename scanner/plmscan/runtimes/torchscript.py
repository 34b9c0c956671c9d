"""Archives of TorchScript, torch.package and TorchServe: the program that they carry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

__all__ = ["code_files", "code_members", "holds_numbers"]

_NUMBERS = re.compile(r"[^/]+/(data|constants)/\d+")
_OF_PROGRAMS = ("MAR-INF/MANIFEST.json", ".data/extern_modules")
"""Members of an archive of which every Python file is run by its loader: TorchServe's and
torch.package's."""


def holds_numbers(member: str) -> bool:
    """Whether that member of an archive of torch holds the numbers of one tensor."""
    return _NUMBERS.fullmatch(member) is not None


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
    return code_members(names)


def code_members(names: Iterable[str], *, is_program: bool = False) -> list[str]:
    """Those of an archive's members that hold its program, sorted.

    Args:
        names: all of its members.
        is_program: whether the loader of such an archive runs every Python file in it.
    """
    names = list(names)
    is_program = is_program or any(name.endswith(_OF_PROGRAMS) for name in names)
    code = (name for name in names if name.endswith(".py"))
    return sorted(name for name in code if is_program or "/code/" in f"/{name}")
