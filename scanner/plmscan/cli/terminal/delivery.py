"""Where the reports of a run go, and what is said beside them."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plmscan.cli.terminal.output import check_writable, write
from plmscan.cli.terminal.stderr import is_terminal, say
from plmscan.errors import PlmscanError
from plmscan.reports import Detail, Format, Screen, render
from plmscan.survey import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.survey import Survey

__all__ = ["Delivery"]

_BY_SUFFIX = {
    ".json": Format.JSON,
    ".html": Format.HTML,
    ".md": Format.MARKDOWN,
    ".sarif": Format.SARIF,
}
"""What the name of an output file says about its format."""


@dataclass(frozen=True)
class Delivery:
    """Where the reports of a run go."""

    shown: Format | None
    """Format for stdout; None if the main report goes to a file."""
    files: tuple[tuple[Format, Path], ...]
    """Files to write, with the format of each."""
    detail: Detail
    """How much the console format tells."""

    @classmethod
    def of(
        cls,
        asked: Format | None,
        output: Path | None,
        more: Sequence[str],
        attest: Path | None,
        detail: Detail = Detail.NORMAL,
    ) -> Delivery:
        """What the options ask for, found to be writable before a long scan.

        Raises:
            PlmscanError: a format does not exist, a file cannot be written or is named twice.
        """
        files = [_target(one) for one in more]
        files += [] if attest is None else [(Format.IN_TOTO, attest)]
        if output is not None:
            by_name = _BY_SUFFIX.get(output.suffix.lower(), Format.CONSOLE)
            files.insert(0, (asked or by_name, output))
        paths = [path for _, path in files]
        for path in paths:
            check_writable(path)
            if paths.count(path) > 1:
                msg = f"Two reports would go to {path}."
                raise PlmscanError(msg, "Name a file for each.")
        return cls(None if output is not None else asked or Format.CONSOLE, tuple(files), detail)

    def deliver(self, survey: Survey) -> None:
        """Write the files, then stdout; whoever reads only stderr learns the verdict, too."""
        for report_format, path in self.files:
            write(render(survey, report_format, Screen(detail=self.detail)), path)
        lone = survey.entries[0].outcome if len(survey.entries) == 1 else None
        unscanned = isinstance(lone, Refusal)
        is_brief, on_console = self.detail is Detail.BRIEF, self.shown is Format.CONSOLE
        if self.shown is not None and not (unscanned and on_console and not is_brief):
            write(render(survey, self.shown, _screen(self.detail)), None)
        if isinstance(lone, Refusal):
            say(f"error: {lone.diagnostics}")
        if is_brief and not on_console:
            for entry in survey.entries:
                say(f"{entry.verdict.name}: {entry.model}: {entry.reason}")
        elif not (unscanned or on_console):
            say(f"{survey.verdict.name}: {_in_short(survey)}")
        if not is_brief:
            for _, path in self.files:
                say(f"The report is in {path}.")


def _target(asked: str) -> tuple[Format, Path]:
    """``FORMAT=FILE`` in its parts."""
    name, equals, path = asked.partition("=")
    if not equals or not path or name not in set(Format):
        msg = f"--report takes FORMAT=FILE, and {asked!r} is not that."
        raise PlmscanError(msg, f"Formats are {', '.join(Format)}.")
    return Format(name), Path(path)


def _screen(detail: Detail) -> Screen:
    """What stdout is: a terminal, or a log of 80 columns."""
    on_terminal = is_terminal(sys.stdout)
    width = min(max(shutil.get_terminal_size().columns, 60), 120) if on_terminal else 80
    colour = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return Screen(width, colour=colour, encoding=encoding, detail=detail)


def _in_short(survey: Survey) -> str:
    """The reason of one model; of several how many there are of each verdict."""
    if len(survey.entries) == 1:
        return survey.entries[0].reason
    return survey.in_short
