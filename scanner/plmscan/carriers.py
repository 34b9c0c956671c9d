"""Carrier texts, and the insertion of candidates into them.

A carrier is an ordinary sentence: a trigger has to override it.  Candidates go between tokens of a
carrier at a position that is drawn once per carrier, so that every candidate and every null item
meets the same sentences at the same places and comparisons are paired.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING

from plmscan.errors import TextsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from plmscan.loading import LoadedModel

__all__ = ["Carrier", "bundled_texts", "insert", "read_texts", "split_carriers"]

_FEWEST = 64
"""Selection and confirmation need disjoint carriers; below this a robust spread means little."""


@dataclass(frozen=True)
class Carrier:
    """A tokenized sentence and the place where candidates enter it."""

    ids: tuple[int, ...]
    """Token ids without special tokens."""
    position: int
    """Candidates are put before the token with this index; ``len(ids)`` means at the end."""


def bundled_texts() -> tuple[str, ...]:
    """The short neutral English sentences that ship with plmscan."""
    text = (resources.files("plmscan") / "carriers.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def read_texts(path: Path) -> tuple[str, ...]:
    """Carrier texts of a user, one a line; empty lines and repetitions are dropped.

    Raises:
        TextsError: the file cannot be read as UTF-8 text, or holds too few texts.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        msg = f"The texts file {path} cannot be read: {reason}."
        raise TextsError(msg, "Give a UTF-8 file with one text a line.") from error
    texts = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(texts) < _FEWEST:
        msg = f"The texts file {path} holds {len(texts)} different texts; {_FEWEST} are needed."
        raise TextsError(msg, "Add more lines, or leave --texts away to use the bundled ones.")
    return texts


def split_carriers(
    model: LoadedModel, texts: Sequence[str], sizes: Sequence[int], seed: int
) -> tuple[tuple[Carrier, ...], ...]:
    """Disjoint sets of carriers of about the asked sizes, smaller if the texts run out.

    Texts are shuffled by ``seed`` and kept if they have 6 to 24 tokens, long enough to resist and
    short enough to be cheap.

    Raises:
        TextsError: too few texts have that length in this model's tokens.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    usable = [ids for ids in map(model.tokenize, texts) if 6 <= len(ids) <= 24]  # noqa: PLR2004
    if len(usable) < _FEWEST:
        msg = f"Only {len(usable)} texts have 6 to 24 tokens in this model; {_FEWEST} are needed."
        raise TextsError(msg, "Give longer or shorter texts with --texts.")
    rng.shuffle(usable)
    carriers = [Carrier(ids, rng.randint(0, len(ids))) for ids in usable]
    share = min(1.0, len(carriers) / sum(sizes))
    starts = [int(share * sum(sizes[:k])) for k in range(len(sizes) + 1)]
    return tuple(tuple(carriers[a:b]) for a, b in pairwise(starts))


def insert(carrier: Carrier, candidate: Sequence[int]) -> tuple[int, ...]:
    """The carrier's ids with ``candidate`` at the carrier's position."""
    return (*carrier.ids[: carrier.position], *candidate, *carrier.ids[carrier.position :])
