"""Reports of earlier scans, in the user's cache."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.errors import PlmscanError

if TYPE_CHECKING:
    from plmscan.evidence import Report

__all__ = ["Store", "store_folder"]


def store_folder() -> Path:
    """Where reports are kept: ``PLMSCAN_CACHE``, else a folder in the user's cache."""
    named = os.environ.get("PLMSCAN_CACHE")
    if named:
        return Path(named)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "plmscan"


@dataclass(frozen=True)
class Store:
    """A folder of reports, one file a key.

    Whoever can write to it decides what later scans say, as with the installed package.
    """

    folder: Path
    """Made when the first report is kept."""

    def get(self, key: str) -> Report | None:
        """The report that was kept under ``key``; None without one that can be read."""
        from plmscan.reports.json_v1 import from_json  # noqa: PLC0415 - keeps --help quick

        try:
            return from_json(self._path(key).read_bytes())
        except (OSError, PlmscanError):
            return None

    def put(self, key: str, report: Report) -> None:
        """Keep ``report``; a folder that cannot be written keeps nothing."""
        from plmscan.cli.terminal.output import write  # noqa: PLC0415 - its words are about reports
        from plmscan.reports.json_v1 import to_json  # noqa: PLC0415 - keeps --help quick

        with suppress(OSError, PlmscanError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(to_json(report), self._path(key))

    def _path(self, key: str) -> Path:
        """The file of ``key``."""
        return self.folder / f"{key}.json"
