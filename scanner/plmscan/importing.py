"""Which library is missing or broken, by the error that importing it raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["library_at_fault"]


def library_at_fault(error: Exception) -> str | None:
    """The library that could not be imported; None if ``error`` is about something else."""
    if isinstance(error, ImportError) and (name := _library(error.name)):
        return name
    libraries = list(_being_imported(error))
    return libraries[-1] if libraries else None


def _library(module: str | None) -> str | None:
    """The library that ``module`` belongs to; None for plmscan's own."""
    name = (module or "").partition(".")[0]
    return name if name not in ("", "__main__", "plmscan") else None


def _being_imported(error: Exception) -> Iterator[str]:
    """Libraries whose import raised ``error``, from the one that was asked for to the cause."""
    for frame in _frames(error):
        if frame.f_code.co_name == "<module>" and (name := _library(frame.f_globals["__name__"])):
            yield name


def _frames(error: Exception) -> Iterator[FrameType]:
    """Where ``error`` passed, from the outside."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next
