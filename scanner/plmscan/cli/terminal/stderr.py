"""Lines on stderr, where all goes that is no report."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from plmscan.reports.visible import visible

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["is_terminal", "say", "tell_bounds"]


def say(line: str) -> None:
    """One line on stderr; where nobody can read it, the exit code still tells."""
    with suppress(OSError):
        typer.echo(f"plmscan: {visible(line)}", err=True)


def tell_bounds(allowed: int | None) -> None:
    """Tell under which bounds a model runs in this process: ``allowed`` bytes, or None."""
    memory = (
        "any amount of memory" if allowed is None else f"at most {allowed / 1e9:.1f} GB of memory"
    )
    say(f"While it runs, the model is refused the network, and may take {memory}.")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at ``stream``, which is None where it was closed before the start."""
    return stream is not None and stream.isatty()
