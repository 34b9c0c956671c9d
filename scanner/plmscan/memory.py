"""A bound on what this process may allocate, where the operating system has one.

Linux counts private writable memory (``RLIMIT_DATA``), so files that are only mapped, such as the
code of libraries, cost nothing.  macOS and Windows have no such bound; there the report says so.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["allowed_bytes", "bounded_memory", "can_bound_memory", "memory_of_machine", "ran_out"]

_TRIAL = 1 << 28
_TORCH_RAN_OUT = (
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "CUDA out of memory",
)


def can_bound_memory() -> bool:
    """Whether a bound holds here, found by trying one; a sandbox may know and ignore it."""
    if sys.platform != "linux":
        return False
    try:
        with bounded_memory(_TRIAL // 4):
            mmap.mmap(-1, _TRIAL, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        return error.errno == errno.ENOMEM
    return False


def allowed_bytes() -> int | None:
    """What this process may allocate in all; None without a bound."""
    if sys.platform != "linux":
        return None
    import resource  # noqa: PLC0415 - Windows has none

    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if soft == resource.RLIM_INFINITY else soft


def memory_of_machine() -> int | None:
    """Bytes of memory that are built in; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


@contextmanager
def bounded_memory(more: int) -> Iterator[None]:
    """Let this process allocate ``more`` bytes beyond what it has, and no more, inside.

    Does nothing where there is no such bound, and never loosens one that is there.
    """
    if sys.platform != "linux":
        yield
        return
    import resource  # noqa: PLC0415 - Windows has none

    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _allocated() + more
    present = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(wanted, *present, wanted), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def ran_out(error: BaseException | None) -> bool:
    """Whether ``error``, or what it was raised for, is that memory ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _TORCH_RAN_OUT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _allocated() -> int:
    """Bytes of private writable memory that this process has."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    (line,) = (line for line in status.splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
