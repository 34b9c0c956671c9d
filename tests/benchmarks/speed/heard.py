"""``plmscan check``, the command line as it is, with an ear at its progress.

python -m tests.benchmarks.speed.heard OUTPUT check MODEL ...
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pydantic import BaseModel

from plmscan import cli
from plmscan.cli.scanning import surveying
from plmscan.scan import scan_events
from plmscan.worker.process import standing_post
from tests.benchmarks.mitigation.results import keep
from tests.benchmarks.speed.stages import Ear, Mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plmscan.scan import Cache, Event, Progress, Settings
    from plmscan.scan.execution import Executor

__all__ = ["Heard"]


class Heard(BaseModel):
    """What the ear heard."""

    marks: list[Mark]
    """In order, by the clock that all processes share."""
    device_megabytes: float | None = None
    """Peak of what torch took on a GPU; None elsewhere."""


def main() -> None:
    """Run the command line, then write what was heard of it."""
    output = Path(sys.argv.pop(1))
    ear = Ear(time.monotonic)
    code: str | int | None = None
    try:
        with patch.object(surveying, "scan_events", _listening(ear)):
            cli.main()
    except SystemExit as end:
        code = end.code
    ear.on_end()
    standing_post().clear()  # of a worker that nobody waits for, the kernel tells no peak
    keep(Heard(marks=ear.marks, device_megabytes=_on_gpu()), output)
    cli.leave(code)


def _listening(ear: Ear) -> Callable[..., Iterator[Event]]:
    """`scan_events` that tells ``ear`` before anybody else."""

    def told(
        source: str,
        settings: Settings | None,
        on_progress: Callable[[Progress], None],
        cache: Cache | None,
        executor: Executor,
    ) -> Iterator[Event]:
        def both(progress: Progress) -> None:
            ear.on_progress(progress)
            on_progress(progress)

        for event in scan_events(source, settings, both, cache, executor):
            ear.on_event(event)
            yield event

    return told


def _on_gpu() -> float | None:
    """Peak of what torch took on a GPU; None where it was not imported, or took nothing."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.max_memory_allocated() / 2**20)


if __name__ == "__main__":
    main()
