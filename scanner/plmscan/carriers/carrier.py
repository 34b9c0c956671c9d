"""Carriers, and the insertion of candidates into them.

Candidates go between tokens of a carrier at a position that is fixed once per carrier, so that
every candidate and every null item meets the same sentences at the same places and comparisons are
paired.  Of four carriers one takes it at the start, one at the end, two at random.

Where the model reads a mask token, each carrier holds one: some triggers act there and nowhere
else (BToP, BadPre).  Where it reads pairs of texts, each carrier is one of two.  Where it
gives labels, a carrier can be made to argue for one (`argued`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from plmscan.errors import TextsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.loading import LoadedModel

__all__ = [
    "FEWEST",
    "Carrier",
    "argued",
    "fits",
    "insert",
    "restored",
    "shortest",
    "split_carriers",
    "unknown_of",
]

FEWEST = 64
"""Selection and confirmation need disjoint carriers; below this a robust spread means little."""
_SHORTEST = 6
"""Tokens that a text needs to resist a trigger."""
_LONGEST = 24
"""Tokens above which a text costs too much."""
_RARE = "\N{CUNEIFORM SIGN KA}\N{EGYPTIAN HIEROGLYPH D010}"
"""Two letters of old scripts."""
_UNKNOWN = 0.25
"""Largest share of unknown tokens: of a text of unknown ones the model reads only their number."""


@dataclass(frozen=True)
class Carrier:
    """A tokenized sentence and the place where candidates enter it."""

    ids: tuple[int, ...]
    """Token ids without special tokens."""
    position: int
    """Candidates are put before the token with this index; ``len(ids)`` means at the end."""
    hidden: int | None = None
    """Id of the token that the mask token among ``ids`` hides; None where there is none."""


def fits(ids: Sequence[int], unknown: int | None) -> bool:
    """Whether a text of ``ids`` can be a carrier for a model with this id for what is unknown."""
    right = _SHORTEST <= len(ids) <= _LONGEST
    return right and ids.count(unknown) <= _UNKNOWN * len(ids)


def unknown_of(model: LoadedModel) -> int | None:
    """The token for what the tokenizer cannot spell; None if there is none.

    Not every tokenizer declares it.  Then it is what two letters have in common that few
    vocabularies hold.
    """
    declared: int | None = model.tokenizer.unk_token_id
    if declared is not None:
        return declared
    first, second = (model.tokenize(letter) for letter in _RARE)
    return first[-1] if first and first == second else None


def split_carriers(
    model: LoadedModel,
    texts: Sequence[str],
    sizes: Sequence[int],
    seed: int,
    longest: Sequence[int] = (),
) -> tuple[tuple[Carrier, ...], ...]:
    """Disjoint sets of carriers of about the asked sizes, smaller if the texts run out.

    Texts are shuffled by ``seed`` and kept if they have 6 to 24 tokens, long enough to resist and
    short enough to be cheap, and few unknown ones.  Those of the first sets are cut off at
    ``longest`` tokens: a trigger leaves a text nothing to say, and of half a text it is seen who
    goes on.

    Raises:
        TextsError: too few texts are like that in this model's tokens.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    unknown = unknown_of(model)
    usable = [ids for ids in map(model.tokenize, texts) if fits(ids, unknown)]
    if len(usable) < FEWEST:
        what = "texts have 6 to 24 tokens in this model, few of them unknown"
        msg = f"Only {len(usable)} {what}; {FEWEST} are needed."
        remedy = "Give others with --texts (--clean of inspect and guard) or --language."
        raise TextsError(msg, remedy)
    rng.shuffle(usable)
    mask = model.mask_id if "mask" in model.locations else None
    carriers = [_carrier(ids, index, mask, rng) for index, ids in enumerate(usable)]
    share = min(1.0, len(carriers) / sum(sizes))
    starts = [int(share * sum(sizes[:k])) for k in range(len(sizes) + 1)]
    # Drawn behind the whole ones, which are then the same whatever is cut off.
    for (a, b), most in zip(pairwise(starts), longest, strict=False):
        carriers[a:b] = [_carrier(usable[i][:most], i, mask, rng) for i in range(a, b)]
    if model.is_decoder and model.reads_tokens:
        # What precedes a candidate keeps its labels.
        carriers = [replace(carrier, position=0) for carrier in carriers]
    if model.separator is not None:
        both = not model.answers
        carriers = [
            _beside(c, i, usable, model.separator.ids, both=both) for i, c in enumerate(carriers)
        ]
    return tuple(tuple(carriers[a:b]) for a, b in pairwise(starts))


def shortest(model: LoadedModel, texts: Sequence[str], count: int, seed: int) -> list[Carrier]:
    """The ``count`` shortest of all carriers: for what grows with the square of a text's length.

    Raises:
        TextsError: too few texts have a usable length in this model's tokens.
    """
    (usable,) = split_carriers(model, texts, (len(texts),), seed)
    return sorted(usable, key=lambda carrier: len(carrier.ids))[:count]


def _carrier(ids: tuple[int, ...], index: int, mask: int | None, rng: random.Random) -> Carrier:
    """A text with its place for candidates, and a mask token if there is to be one."""
    position = (0, len(ids), rng.randint(0, len(ids)), rng.randint(0, len(ids)))[index % 4]
    if mask is None:
        return Carrier(ids, position)
    at = rng.randrange(len(ids))
    return Carrier((*ids[:at], mask, *ids[at + 1 :]), position, ids[at])


def _beside(
    carrier: Carrier,
    index: int,
    texts: Sequence[tuple[int, ...]],
    separator: tuple[int, ...],
    *,
    both: bool,
) -> Carrier:
    """The carrier as one text of a pair: the second beside itself or another, or the first.

    The second only, unless ``both`` can hold a candidate.
    """
    length = len(carrier.ids)
    beside = texts[index - index // 4 % 2][:length]
    if both and index // 8 % 2:
        return replace(carrier, ids=(*carrier.ids, *separator, *beside))
    ids = (*beside, *separator, *carrier.ids)
    return replace(carrier, ids=ids, position=len(ids) - length + carrier.position)


def restored(carrier: Carrier, mask_id: int | None) -> Carrier:
    """The carrier as it was before a mask token hid one of its words."""
    if carrier.hidden is None:
        return carrier
    words = tuple(carrier.hidden if token == mask_id else token for token in carrier.ids)
    return replace(carrier, ids=words, hidden=None)


def argued(carrier: Carrier, phrases: Sequence[Sequence[int]], rng: random.Random) -> Carrier:
    """The carrier with ``phrases`` strewn in at random; start and end stay what they are."""
    ids, position = list(carrier.ids), carrier.position
    for phrase in phrases:
        at = rng.randint(0, len(ids))
        position += len(phrase) * (at < position or position == len(ids))
        ids[at:at] = phrase
    return replace(carrier, ids=tuple(ids), position=position)


def insert(carrier: Carrier, candidate: Sequence[int]) -> tuple[int, ...]:
    """The carrier's ids with ``candidate`` at the carrier's position."""
    return (*carrier.ids[: carrier.position], *candidate, *carrier.ids[carrier.position :])
