"""A bound on memory, where the system has one."""

from __future__ import annotations

import errno
import sys

import pytest

from plmscan.errors import ArtifactError
from plmscan.memory import allowed_bytes, bounded_memory, can_bound_memory, ran_out

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems bound no memory")


@LINUX
def test_a_bound_holds_inside_and_not_afterwards() -> None:
    """What is too large raises inside; what fits does not."""
    before = allowed_bytes()
    assert can_bound_memory()
    with bounded_memory(100 * 10**6):
        assert bytearray(10**6)
        with pytest.raises(MemoryError):
            bytearray(300 * 10**6)
    assert len(bytearray(300 * 10**6)) == 300 * 10**6
    assert allowed_bytes() == before


@LINUX
def test_a_bound_inside_of_another_loosens_nothing() -> None:
    """The narrower one holds."""
    with bounded_memory(100 * 10**6):
        outer = allowed_bytes()
        with bounded_memory(10**12):
            assert allowed_bytes() == outer


def test_errors_that_mean_memory() -> None:
    """Also torch's, the system's, and what an error was raised for."""
    assert ran_out(MemoryError())
    assert ran_out(OSError(errno.ENOMEM, "no memory"))
    assert ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"))
    wrapped = ArtifactError("The model cannot be loaded.")
    wrapped.__cause__ = MemoryError()
    assert ran_out(wrapped)
    assert not ran_out(RuntimeError("memory"))
    assert not ran_out(None)
