"""Texts that a user brings, one a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plmscan.carriers.carrier import FEWEST
from plmscan.carriers.languages import known_languages
from plmscan.errors import TextsError
from plmscan.plain_text import NotTextError, decoded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["asked_texts", "given_texts", "read_texts"]


def asked_texts(file: Path | None, languages: Sequence[str]) -> tuple[str, ...] | None:
    """The carrier texts of a user; None to choose among the bundled ones, in ``languages`` if any.

    Raises:
        TextsError: the file cannot be read as UTF-8 text, or holds too few texts; there are none
            in one of the languages; or both a file and languages are asked for.
    """
    known_languages(languages)
    if file is None:
        return None
    if languages:
        msg = f"The texts of {file} are in the language that they are in."
        raise TextsError(msg, "Give a file of texts or --language, not both.")
    return read_texts(file)


def read_texts(path: Path) -> tuple[str, ...]:
    """Carrier texts of a user, one a line; empty lines and repetitions are dropped.

    Raises:
        TextsError: the file cannot be read as UTF-8 text, or holds too few texts.
    """
    texts = tuple(dict.fromkeys(_lines(path)))
    if len(texts) < FEWEST:
        msg = f"The texts file {path} holds {len(texts)} different texts; {FEWEST} are needed."
        raise TextsError(msg, "Add more lines, or leave it away to use the bundled ones.")
    return texts


def given_texts(path: Path) -> tuple[str, ...]:
    """Texts to inspect, one a line, as they are; empty lines are dropped.

    Raises:
        TextsError: the file cannot be read as UTF-8 text, or holds none.
    """
    texts = tuple(_lines(path))
    if not texts:
        msg = f"The texts file {path} holds no text."
        raise TextsError(msg, "Give a UTF-8 file with one text a line.")
    return texts


def _lines(path: Path) -> list[str]:
    """Lines of a file that hold something, without the white space around them.

    Raises:
        TextsError: the file cannot be read as UTF-8 text.
    """
    try:
        lines = decoded(path.read_bytes()).splitlines()
    except (OSError, NotTextError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"The texts file {path} cannot be read: {reason}."
        raise TextsError(msg, "Give a UTF-8 file with one text a line.") from error
    return [line.strip() for line in lines if line.strip()]
