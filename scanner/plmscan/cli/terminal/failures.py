"""Whatever goes wrong in a command becomes a sentence on stderr and exit code 2."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from plmscan.cli.terminal.machine import check_variables, trouble
from plmscan.cli.terminal.stderr import say
from plmscan.errors import PlmscanError, in_one_line

if TYPE_CHECKING:
    from typer import Context

__all__ = ["DEBUG", "ERROR", "CommandGroup", "mistake"]

ERROR = 2
"""Exit code of an error: neither a pass nor a fail."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
DEBUG = "plmscan.debug"
"""Key in the context's ``meta`` that asks for tracebacks."""


class CommandGroup(TyperGroup):
    """A command group that ends with a sentence, never with a traceback."""

    def invoke(self, ctx: Context) -> object:  # type: ignore[override] # typer's own class
        """Run the command."""
        try:
            check_variables()
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except PlmscanError as error:
            say(f"error: {error.diagnostics()}")
        except KeyboardInterrupt:
            say("error: interrupted; there is no verdict.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _silence_stdout()
        except Exception as error:  # noqa: BLE001 - a person gets a sentence; --debug gets it all
            told = mistake(error, debug=ctx.meta.get(DEBUG, False))
            say(f"error: {told.diagnostics()}")
        raise typer.Exit(ERROR)


def _silence_stdout() -> None:
    """Nobody reads on; keep the interpreter from complaining about it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def mistake(error: Exception, *, debug: bool) -> PlmscanError:
    """What plmscan says about an error that it does not expect; ``debug`` prints the traceback.

    If neither the machine nor a library is to blame, it is a bug of plmscan itself, and says so.
    """
    if debug:
        with suppress(OSError):
            typer.echo("".join(traceback.format_exception(error)), err=True)
    told = trouble(error)
    if told is not None:
        return told
    problem = f"plmscan has a bug ({type(error).__name__}: {in_one_line(error, 200)})."
    if debug:
        return PlmscanError(problem, "Please report it.")
    return PlmscanError(
        problem, "Please report it with the output of the same command and --debug."
    )
