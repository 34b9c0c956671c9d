"""Files that hold nothing of what their names promise: pointers of Git LFS, and empty ones.

A clone without Git LFS, and a download that broke off, leave such files behind.  Their loader says
that a file is broken; the person who has them needs to know that the file is not there yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.errors import ArtifactError
from plmscan.kinds import Kind, is_lfs_pointer
from plmscan.source.files import is_read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from plmscan.evidence import FileDigest

__all__ = ["HollowError", "hollow", "refuse_hollow", "require_contents"]

_MAY_BE_EMPTY = (".py", ".jinja", ".jinja2")
"""An empty file of these does nothing, which is what it says."""


class HollowError(ArtifactError):
    """A file without contents; the problem reads as a sentence about it."""

    @classmethod
    def pointer(cls, name: str) -> HollowError:
        """It only says where Git LFS keeps the real file."""
        problem = f"{name} is a Git LFS pointer, not the file itself."
        return cls(problem, "Run `git lfs pull` where it was cloned, or download the file.")

    @classmethod
    def empty(cls, name: str) -> HollowError:
        """It has no bytes at all."""
        return cls(f"{name} is empty (0 bytes).", "Save or download the file again.")


def refuse_hollow(name: str, start: bytes) -> None:
    """Refuse the file ``name``, which begins with ``start``, if it holds nothing.

    Raises:
        HollowError: it is empty, or a pointer.
    """
    if is_lfs_pointer(start):
        raise HollowError.pointer(name)
    if not start:
        raise HollowError.empty(name)


def hollow(file: FileDigest) -> HollowError | None:
    """What is wrong with ``file``; None if it has contents, or needs none."""
    if file.kind == Kind.LFS_POINTER:
        return HollowError.pointer(file.path)
    if file.kind == Kind.EMPTY and not file.path.endswith(_MAY_BE_EMPTY):
        return HollowError.empty(file.path)
    return None


def require_contents(files: Iterable[FileDigest], weights: Collection[str]) -> None:
    """Refuse a model if one of its ``files`` that is read, or of ``weights``, holds nothing.

    Raises:
        ArtifactError: there is one.
    """
    for file in files:
        needed = is_read(file.path) or file.path in weights
        if needed and (problem := hollow(file)) is not None:
            raise problem
