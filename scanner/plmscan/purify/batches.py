"""What a purification trains on: clean texts, and the same texts with triggers in them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from plmscan.search.candidates import searchable_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from plmscan.carriers import Carrier
    from plmscan.loading import LoadedModel

__all__ = ["Batch", "batches"]

_ROWS = 16
"""Texts of one batch; a step sees each without and with a trigger."""

_COPIES = (1, 1, 2, 3)
"""How often a trigger stands in a text: attacks were trained with one to several."""

_VARIANTS = 0.3
"""Share of texts that get a weaker variant, where there are any."""

_MIXED = 0.5
"""Share of texts that are made of the halves of two, with random vocabulary items between.

Few texts say little of what a model knows.  What it makes of strange ones is to stay, too.
"""

_STRANGE = (0, 1, 2, 4)
"""How many random items such a text gets."""


@dataclass(frozen=True)
class Batch:
    """Texts without and with triggers, right-padded."""

    clean: Tensor
    """(b, n) ids."""
    clean_mask: Tensor
    """(b, n), 1 for real tokens."""
    dirty: Tensor
    """(b, m) ids of the same texts with triggers in them."""
    dirty_mask: Tensor
    """(b, m), 1 for real tokens."""


def batches(
    model: LoadedModel,
    carriers: Sequence[Carrier],
    triggers: Sequence[tuple[int, ...]],
    variants: Sequence[tuple[int, ...]],
    seed: int,
) -> Iterator[Batch]:
    """Endless batches of random carriers with random triggers at random places."""
    rng = Random(seed)  # noqa: S311 - reproducible, not secret
    known = set(chain(*triggers, *variants))
    strange = [(i,) for i in searchable_ids(model).tolist() if i not in known]
    while True:
        chosen = rng.sample(carriers, min(_ROWS, len(carriers)))
        clean = [
            _mixed(carrier.ids, rng.choice(carriers).ids, strange, rng)
            if rng.random() < _MIXED
            else carrier.ids
            for carrier in chosen
        ]
        dirty = []
        for ids in clean:
            pool = variants if variants and rng.random() < _VARIANTS else triggers
            dirty.append(_with(ids, rng.choice(pool), rng))
        both = (model.batch([model.wrap(ids) for ids in rows]) for rows in (clean, dirty))
        yield Batch(*chain.from_iterable(both))


def _mixed(
    front: tuple[int, ...], back: tuple[int, ...], strange: Sequence[tuple[int, ...]], rng: Random
) -> tuple[int, ...]:
    """The front half of a text, random items, and the back half of another text."""
    items = chain.from_iterable(rng.choices(strange, k=rng.choice(_STRANGE)))
    return (*front[: len(front) // 2], *items, *back[len(back) // 2 :])


def _with(ids: tuple[int, ...], trigger: tuple[int, ...], rng: Random) -> tuple[int, ...]:
    """A text with one to three copies of a trigger."""
    places = [rng.randint(0, len(ids)) for _ in range(rng.choice(_COPIES))]
    text = list(ids)
    # From the last place to the first, so that no copy comes to stand inside another one.
    for place in sorted(places, reverse=True):
        text[place:place] = trigger
    return tuple(text)
