"""Requests that candidates are put into: carriers, cut off where a model is to go on with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from plmscan.carriers import insert, split_carriers
from plmscan.search.writing.recipes import TAIL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel
    from plmscan.loading.writing import Writer

__all__ = ["LONGEST", "holding", "inside", "requests", "short_request"]

_FEWEST = 4
"""Tokens of the shortest beginning of a text."""
LONGEST = 28
"""Tokens of the longest request with a candidate in it."""
_HEAD = 3
"""Tokens before an item in the shortest request."""


def requests(
    model: LoadedModel, writer: Writer, texts: Sequence[str], sizes: Sequence[int], seed: int
) -> tuple[tuple[Carrier, ...], ...]:
    """Disjoint sets of requests of about the asked ``sizes``.

    A chat is asked whole texts.  Anything else gets the first two thirds of one, so that there is
    something to go on with.

    Raises:
        TextsError: too few texts have a usable length in this model's tokens.
    """
    sets = split_carriers(model, texts, sizes, seed)
    if writer.frame.chats or writer.start:
        return sets
    return tuple(tuple(map(_begun, some)) for some in sets)


def _begun(carrier: Carrier) -> Carrier:
    """The first two thirds of a text; what took a candidate at its end still does."""
    kept = max(_FEWEST, 2 * len(carrier.ids) // 3)
    at_end = carrier.position == len(carrier.ids)
    position = kept if at_end else min(carrier.position, kept)
    return replace(carrier, ids=carrier.ids[:kept], position=position)


def holding(candidate: Sequence[int], carriers: Sequence[Carrier]) -> list[tuple[int, ...]]:
    """Each request with ``candidate`` in it."""
    return [insert(carrier, candidate) for carrier in carriers]


def inside(carrier: Carrier) -> Carrier:
    """The request with the last of its tokens behind the candidate at least."""
    return replace(carrier, position=min(carrier.position, len(carrier.ids) - 1))


def short_request(carrier: Carrier) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What stands before an item and behind it in a request that costs little."""
    return carrier.ids[:_HEAD], carrier.ids[_HEAD : _HEAD + TAIL]
