"""Keeping the model library silent, and its errors to one sentence."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers.utils import logging as library_logging

from plmscan.errors import ArtifactError, PlmscanError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["explained", "first_line", "quiet"]

_LONGEST = 300
"""Characters of a library's message that go into a sentence."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the library's log, progress bars and warnings, and restore them afterwards."""
    verbosity = library_logging.get_verbosity()
    library_bars = library_logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library_logging.set_verbosity(logging.CRITICAL + 1)
        library_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            library_logging.set_verbosity(verbosity)
            if library_bars:
                library_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
            # The library's switch takes the Hub's along, so this one comes last.
            (enable_progress_bars if hub_bars else disable_progress_bars)()


@contextmanager
def explained(problem: str, remedy: str) -> Iterator[None]:
    """Turn whatever the block raises into one sentence.

    Raises:
        ArtifactError: ``problem``, with the first line of the library's message.
    """
    try:
        yield
    except PlmscanError:
        raise
    except Exception as error:  # the libraries raise anything, down to bare Exception
        msg = f"{problem}: {first_line(error)}."
        raise ArtifactError(msg, remedy) from error


def first_line(error: Exception) -> str:
    """The first line with words of what ``error`` says, or its class if it says nothing."""
    said = f"unknown name {error}" if isinstance(error, KeyError) else str(error)
    lines = (line.strip() for line in said.splitlines())
    text = next((line for line in lines if line), type(error).__name__)
    return text[:_LONGEST].rstrip(".:")
