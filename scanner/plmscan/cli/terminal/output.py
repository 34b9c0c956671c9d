"""Where a report goes: the standard output, or a file that is complete or absent."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import typer

from plmscan.errors import PlmscanError
from plmscan.whole_files import beside, replace_file

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

__all__ = ["check_writable", "write"]


def check_writable(path: Path | None) -> None:
    """Find out before a long scan whether its report can be written to ``path``.

    Raises:
        PlmscanError: it cannot.
    """
    if path is None:
        return
    if path.is_dir():
        _refuse(path, "it is a folder")
    if _is_special(path):
        return
    probe = beside(path)
    try:
        probe.touch()
    except OSError as error:
        _refuse(path, error.strerror or str(error))
    with suppress(OSError):
        probe.unlink()


def write(text: str, path: Path | None) -> None:
    """Write ``text`` to the file ``path``, whole or not at all; None is the standard output.

    Raises:
        PlmscanError: the file cannot be written.
    """
    if path is None:
        _write_out(text, sys.stdout)
        return
    try:
        _write_file(text, path)
    except OSError as error:
        _refuse(path, error.strerror or str(error))


def _write_out(text: str, stdout: TextIO | None) -> None:
    """Write ``text`` to the standard output; to nobody if that was closed before the start.

    Raises:
        PlmscanError: it cannot be written.
    """
    if stdout is None:
        return
    encoding = stdout.encoding or "utf-8"
    try:
        typer.echo(text.encode(encoding, "replace").decode(encoding), nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        msg = f"The report cannot be written to the standard output: {error.strerror}."
        raise PlmscanError(msg, "Make room, or write it to a file with --output.") from error


def _write_file(text: str, path: Path) -> None:
    """Replace the file ``path``; write through a pipe or a device as it stands."""
    if _is_special(path):
        path.write_text(text, encoding="utf-8")
        return
    replace_file(path, text)


def _is_special(path: Path) -> bool:
    """Whether ``path`` is there and no plain file, like ``/dev/null``."""
    return path.exists() and not path.is_file()


def _refuse(path: Path, reason: str) -> NoReturn:
    """Say that ``path`` will not do."""
    msg = f"The report cannot be written to {path}: {reason}."
    raise PlmscanError(msg, "Choose another file with --output.")
