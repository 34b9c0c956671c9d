"""How many models are searched at the same time, and what speaks against it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from plmscan.cli.terminal.stderr import say
from plmscan.probes.words import counted
from plmscan.uncollected import uncollected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.cli.scanning.plan import Job
    from plmscan.scan import Settings

__all__ = ["sensible"]


def sensible(asked: int, jobs: Sequence[Job]) -> int:
    """How many of ``jobs`` to search at a time where ``asked`` may be; at least 1.

    It is said where one at a time is faster, and done where a GPU computes.
    """
    searched = [job.settings for job in jobs if not job.settings.files_only]
    at_once = min(asked, len(searched))
    if at_once <= 1:
        return 1
    if any(map(_is_for_gpu, searched)):
        say(f"note: A GPU is faster with one model at a time, so --jobs {asked} is not followed.")
        return 1
    cores, threads = _cores(), at_once * max(settings.threads or 1 for settings in searched)
    if threads > cores:
        say(
            f"note: --jobs {asked} takes {counted(threads, 'thread')}, and there "
            f"{'is' if cores == 1 else 'are'} {counted(cores, 'core')}: one at a time is faster."
        )
    return at_once


def _is_for_gpu(settings: Settings) -> bool:
    """Whether a model would be searched on a GPU."""
    if settings.device != "auto":
        return settings.device != "cpu"
    with uncollected():
        import torch  # noqa: PLC0415 - nobody else in this process needs it

    return torch.cuda.is_available()


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
